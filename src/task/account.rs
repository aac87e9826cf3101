//! Whom tasks run as, which their environment is to say: cron and a system unit say little of it; and who that is that
//! they are to run as (`run_as`).

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::fs::read_file;
use crate::task::environment::{self, OF_A_LOGIN, complete_path};
use crate::task::{self, Ended, PATIENCE, Task};
use crate::text::span;

const USERS: &str = "/etc/passwd";
/// Asks for a user, his groups, and the group that was given.
const QUESTION: &str = "said=$(getent passwd \"$1\") &&\n\
    printf 'passwd %s\\ninitgroups %s\\n' \"$said\" \"$(getent initgroups \"${said%%:*}\")\"\n\
    [ -z \"$2\" ] || printf 'group %s\\n' \"$(getent group \"$2\")\"";

/// What the environment of tasks lacks of the user who runs this program.
#[derive(Debug)]
pub struct Login {
    added: Vec<(&'static str, OsString)>,
    question: Option<Task>,
}

impl Login {
    /// Looks the user up, as far as the environment does not say it.
    pub fn look_up() -> Self {
        let uid = nix::unistd::geteuid().as_raw();
        let get = |name: &str| std::env::var_os(name);
        let added = environment::of_a_session(&format!("/run/user/{uid}"), uid, get);
        let mut login = Login { added, question: None };
        if OF_A_LOGIN.into_iter().any(|(name, _)| get(name).is_none()) {
            let uid = uid.to_string();
            match with(&users(), 2, &uid) {
                Some(line) => login.add(line),
                None => login.question = getent(&uid).ok(),
            }
        }
        login
    }

    fn add(&mut self, line: &str) {
        self.added.extend(environment::of_a_login(line, |name| std::env::var_os(name).is_some()));
    }

    /// What was asked, while there is no answer.
    pub fn question(&mut self) -> Option<&mut Task> {
        self.question.as_mut()
    }

    /// Whether all is known that can be.
    pub fn is_known(&mut self) -> bool {
        if let Some(answer) = task::answer(&mut self.question) {
            self.add(answer.lines().next().unwrap_or_default());
        }
        self.question.is_none()
    }

    /// What is added to the environment of tasks.
    pub fn added(&self) -> &[(&'static str, OsString)] {
        &self.added
    }

    /// All that tasks have and this program has not, or has otherwise.
    pub fn completed(mut self) -> Vec<(&'static str, OsString)> {
        self.question.as_mut().and_then(Task::wait);
        self.is_known();
        let path = std::env::var_os("PATH");
        let complete =
            Some(complete_path(path.as_deref())).filter(|complete| Some(complete) != path.as_ref());
        self.added.extend(complete.map(|path| ("PATH", path)));
        self.added
    }
}

/// A user and perhaps a group, each by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAs {
    pub user: String,
    pub group: Option<String>,
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, ":{group}"))
    }
}

/// Who that is, once it is known.
#[derive(Debug)]
pub struct Account {
    pub run_as: RunAs,
    /// The last answer.
    found: Option<Result<Identity, String>>,
    question: Option<Task>,
}

/// With which numbers a task runs, and what a login would have set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    user: Uid,
    group: Gid,
    groups: Vec<Gid>,
    pub environment: Vec<(&'static str, OsString)>,
}

impl Account {
    /// Asks who that is.
    pub fn look_up(run_as: &RunAs) -> Self {
        let mut account = Account { run_as: run_as.clone(), found: None, question: None };
        account.ask_again();
        account
    }

    /// Asks anew, unless that is being asked. What was found holds until there is an answer.
    pub fn ask_again(&mut self) {
        if self.question.is_some() {
            return;
        }
        let RunAs { user, group } = &self.run_as;
        let mut getent = task::shell(QUESTION);
        getent.args(["sh", user, group.as_deref().unwrap_or_default()]);
        self.question = task::ask(getent).ok();
        if self.question.is_none() {
            self.learn("");
        }
    }

    /// What was asked, while there is no answer.
    pub fn question(&mut self) -> Option<&mut Task> {
        self.question.as_mut()
    }

    /// Whether all is known that can be.
    pub fn is_known(&mut self) -> bool {
        if let Some(answer) = task::answer(&mut self.question) {
            self.learn(&answer);
        }
        self.question.is_none()
    }

    /// Waits for the first answer, as long as there may be one.
    pub fn wait(&mut self) {
        if self.found.is_none() {
            self.question.as_mut().and_then(Task::wait);
            self.is_known();
        }
    }

    fn learn(&mut self, answer: &str) {
        let groups = read_file(Path::new("/etc/group")).unwrap_or_default();
        self.found = Some(Identity::find(&self.run_as, &users(), &groups, answer));
    }

    /// Who it is.
    ///
    /// # Errors
    /// There is no such user or group, as far as is known.
    pub fn identity(&self) -> Result<&Identity, &str> {
        match &self.found {
            Some(found) => found.as_ref().map_err(String::as_str),
            None => Err("nobody has told yet who that is"),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if let Some(question) = &mut self.question {
            question.kill();
            question.wait();
        }
    }
}

impl Identity {
    /// Whom the files of users and groups mean, or what `getent` has said: it knows directories on the network too,
    /// and the files are there without it.
    fn find(run_as: &RunAs, users: &str, groups: &str, said: &str) -> Result<Self, String> {
        let answer = |to: &str| said.lines().find_map(|line| line.strip_prefix(to));
        let user = entry(users, &run_as.user).or_else(|| answer("passwd "));
        let user = user.and_then(|line| Some((line, number(line, 2)?, number(line, 3)?)));
        let Some((line, user, primary)) = user else {
            return Err(format!("there is no user '{}'", run_as.user));
        };
        let group = match &run_as.group {
            None => primary,
            Some(group) => entry(groups, group)
                .or_else(|| answer("group "))
                .and_then(|line| number(line, 2))
                .ok_or_else(|| format!("there is no group '{group}'"))?,
        };
        let name = field(line, 0).unwrap_or_default();
        let is_member = |line: &&str| field(line, 3).is_some_and(|all| all.split(',').any(|it| it == name));
        let of_files = || groups.lines().filter(is_member).filter_map(|line| number(line, 2)).collect();
        // The name, and the numbers of the groups.
        let listed = answer("initgroups ").and_then(|listed| listed.strip_prefix(name));
        let listed = listed.map(|listed| listed.split_ascii_whitespace().filter_map(|it| it.parse().ok()));
        let mut all: Vec<u32> = listed.map_or_else(of_files, Iterator::collect);
        all.insert(0, group);
        let uid = Uid::from_raw(user);
        let mut environment = environment::of_a_login(line, |_| false);
        environment.extend(environment::of_a_session(&format!("/run/user/{uid}"), user, |_| None));
        let groups = all.into_iter().map(Gid::from_raw).collect();
        Ok(Identity { user: uid, group: Gid::from_raw(group), groups, environment })
    }

    /// Becomes it, for good. To be called by a child before its program begins: makes system calls only.
    ///
    /// # Errors
    /// It may not; then the program must not run.
    pub fn assume(&self) -> nix::Result<()> {
        setgroups(&self.groups)?;
        setgid(self.group)?;
        setuid(self.user)
    }
}

/// The number of a user, who is given by name or number. `None` if there is none, as far as anybody knows.
///
/// # Errors
/// `getent` gave no answer in time. The C library is not asked: its look-up may hang on a network, and in a static
/// program it would load libraries.
pub fn uid(user: &str) -> io::Result<Option<u32>> {
    if let Some(line) = entry(&users(), user) {
        return Ok(number(line, 2));
    }
    let mut getent = match getent(user) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        getent => getent?,
    };
    match getent.wait() {
        Some(Ended(Some(status))) if status.code().is_some() => Ok(number(&getent.output(), 2)),
        _ => Err(io::Error::other(format!("getent did not answer within {}", span(PATIENCE)))),
    }
}

/// The name of a user that /etc/passwd has.
pub fn user_name(uid: u32) -> Option<String> {
    field(with(&users(), 2, &uid.to_string())?, 0).map(ToOwned::to_owned)
}

fn users() -> String {
    read_file(Path::new(USERS)).unwrap_or_default()
}

fn getent(user: &str) -> io::Result<Task> {
    let mut getent = Command::new("getent");
    getent.args(["passwd", user]);
    task::ask(getent)
}

/// The line of a name, or else of a number, in a file of users or groups.
fn entry<'a>(file: &'a str, wanted: &str) -> Option<&'a str> {
    let is_number = wanted.bytes().all(|byte| byte.is_ascii_digit());
    with(file, 0, wanted).or_else(|| with(file, 2, wanted).filter(|_| is_number))
}

/// The line that has this in one of its fields.
fn with<'a>(file: &'a str, of: usize, wanted: &str) -> Option<&'a str> {
    file.lines().find(|line| field(line, of) == Some(wanted))
}

fn field(line: &str, number: usize) -> Option<&str> {
    line.split(':').nth(number)
}

fn number<T: FromStr>(line: &str, of: usize) -> Option<T> {
    field(line, of)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0:root:/root:/bin/sh\nalice:x:7:70:Alice:/home/alice:/bin/zsh\n8:x:9:90::/nine:\n";
    const GROUPS: &str = "root:x:0:\nstaff:x:50:bob,alice\nsales:x:51:alice2\nadm:x:4:alice\n";

    fn found(user: &str, group: Option<&str>, said: &str) -> Result<(u32, Vec<u32>, String), String> {
        let run_as = RunAs { user: user.to_owned(), group: group.map(ToOwned::to_owned) };
        let identity = Identity::find(&run_as, USERS, GROUPS, said)?;
        let groups: Vec<_> = identity.groups.iter().map(|group| group.as_raw()).collect();
        assert_eq!(identity.group.as_raw(), groups[0]);
        let home = identity.environment.iter().find(|(name, _)| *name == "HOME");
        Ok((identity.user.as_raw(), groups, home.unwrap().1.to_str().unwrap().to_owned()))
    }

    #[test]
    fn users_and_groups_are_those_of_the_files_or_what_is_said() {
        let home = "/home/alice".to_owned();
        let nothing = "initgroups \n";
        for said in ["", nothing] {
            assert_eq!(found("alice", None, said), Ok((7, vec![70, 50, 4], home.clone())));
            assert_eq!(found("7", Some("staff"), said), Ok((7, vec![50, 50, 4], home.clone())));
        }
        // A name that is a number.
        assert_eq!(found("8", None, ""), Ok((9, vec![90], "/nine".to_owned())));
        // What the directory knows besides.
        let said = "passwd alice:*:1:1::/x:\ninitgroups alice                 50 1000000\n";
        assert_eq!(found("alice", None, said), Ok((7, vec![70, 50, 1_000_000], home)));
        let said = "passwd carol:*:2000:3000:C:/net/carol:/bin/sh\ninitgroups carol\ngroup net:*:77:carol\n";
        assert_eq!(found("carol", None, said), Ok((2000, vec![3000], "/net/carol".to_owned())));
        assert_eq!(found("carol", Some("net"), said), Ok((2000, vec![77], "/net/carol".to_owned())));
    }

    #[test]
    fn nobody_runs_as_somebody_who_is_not_known() {
        let no_user = |user: &str| Err(format!("there is no user '{user}'"));
        let said = "passwd carol:*:2000:none:C:/net/carol:/bin/sh\n";
        for (user, said) in [("bob", ""), ("", ""), ("x", "initgroups x 0\n"), ("carol", said)] {
            assert_eq!(found(user, None, said), no_user(user));
        }
        assert_eq!(found("alice", Some("none"), "group \n"), Err("there is no group 'none'".to_owned()));
        assert_eq!(found("alice", Some(""), ""), Err("there is no group ''".to_owned()));
    }
}
