//! Chance that comes out the same for the same seed, on each machine and in each version.

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): enough for
/// a choice of events, and a dozen lines.
pub struct Chance(u64);

impl Chance {
    /// The chance of one round, which does not depend on the rounds before it.
    pub fn of(seed: u64, round: u64) -> Self {
        let mut chance = Chance(seed ^ round.wrapping_mul(0xd6e8_feb8_6659_fd93));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// One of several.
    pub fn one_of<T: Copy>(&mut self, several: &[T]) -> T {
        let last = several.len() as u64 - 1;
        several[usize::try_from(self.between(0, last)).unwrap()]
    }

    /// One of several, each as likely as its weight says.
    pub fn weighed<T: Copy>(&mut self, several: &[(u64, T)]) -> T {
        let mut left = self.between(1, several.iter().map(|(weight, _)| weight).sum());
        for (weight, one) in several {
            if left <= *weight {
                return *one;
            }
            left -= weight;
        }
        unreachable!("the weights have been summed up")
    }
}
