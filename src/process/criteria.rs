//! What counts as the process, and why something that nearly does does not.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::settings::pattern::printable;
use crate::settings::{Criteria, Subject};

/// The kernel cuts a process's name to this (`TASK_COMM_LEN` - 1, `include/linux/sched.h`).
pub const CUT_NAME: usize = 15;

/// The longest name of a file, and so of a program (`NAME_MAX`, `include/uapi/linux/limits.h`).
const LONGEST_FILE_NAME: usize = 255;

/// Why a process does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// It is this watchdog, or another invocation of the program.
    ThisProgram,
    /// It runs the start command, or another command of this watchdog.
    StartCommand,
    /// It started this watchdog, and its command line says so.
    Ancestor,
    /// It has ended, and its parent has not waited for it.
    Zombie,
    /// It is a thread of the kernel.
    KernelThread,
    /// It is a script of the system's init, or of a package.
    InitScript,
    /// It is another user's.
    OtherUser,
    /// Its real or saved user is another: somebody runs a set-user-id program.
    MixedUser,
    /// It is a container's.
    OtherNamespace,
    /// Its number is not in the pid file.
    NotInPidFile,
    /// Its name is another; with `--full`, its command line.
    NameDiffers,
    /// Its name is another, and its command line matches.
    CommandLineMatches,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mismatch::ThisProgram => "is a watchdog itself",
            Mismatch::StartCommand => "runs the start command",
            Mismatch::Ancestor => "started this watchdog",
            Mismatch::Zombie => "is dead (zombie)",
            Mismatch::KernelThread => "is a kernel thread",
            Mismatch::InitScript => "is an init script or a package's script",
            Mismatch::OtherUser => "belongs to another user",
            Mismatch::MixedUser => "another user runs it (set-user-id); counts without --user",
            Mismatch::OtherNamespace => "is in a container",
            Mismatch::NotInPidFile => "is not the one in the pid file",
            Mismatch::NameDiffers => "has a different name",
            Mismatch::CommandLineMatches => "its command line matches",
        })
    }
}

impl Criteria {
    /// Whether the same processes meet these criteria and others.
    pub fn are_as(&self, others: &Criteria) -> bool {
        let sides = [self, others].map(|side| {
            let Criteria { pattern, subject, user, unknown_user, namespace, pid_file, start_command: _ } =
                side;
            (pattern.text(), pattern.extent(), *subject, *user, unknown_user.as_deref(), *namespace, pid_file)
        });
        sides[0] == sides[1]
    }

    /// Whether a process of this name may match, once more of it is known.
    pub fn may_match(&self, comm: &[u8]) -> bool {
        self.subject == Subject::CommandLine
            || self.pattern.matches(comm)
            || comm.len() == CUT_NAME && self.pattern.may_match_longer(comm)
    }

    /// Whether a process with this name, in full if it was cut, and command line matches.
    pub fn matches(&self, comm: &[u8], full_names: &[impl AsRef<[u8]>], command_line: &[u8]) -> bool {
        match self.subject {
            Subject::Name => {
                self.pattern.matches(comm)
                    || full_names.iter().any(|name| self.pattern.matches(name.as_ref()))
            }
            Subject::CommandLine => self.pattern.matches(shown_command_line(comm, command_line).as_bytes()),
        }
    }

    /// Why these criteria are probably not what was meant.
    pub fn doubt(&self) -> Option<String> {
        let text = self.pattern.text();
        if self.subject == Subject::CommandLine {
            return self.pattern.matches(self.start_command.as_bytes()).then(|| {
                format!(
                    "'{text}' also matches the start command: an editor or ssh that has it in its command line would count \
                     as the process; make the pattern stricter, for example with ^ in front"
                )
            });
        }
        let name = text.strip_prefix('^').unwrap_or(text);
        let name = name.strip_suffix('$').unwrap_or(name);
        if is_interpreter(name.as_bytes()) {
            return Some(format!(
                "'{name}' is an interpreter: all scripts that it runs have this name; to match one script: --full \
                 --process-name 'script\\.py'"
            ));
        }
        let last = text.rsplit('/').next().filter(|last| *last != text);
        let (why, instead) = match last {
            _ if !self.pattern.is_literal() => return None,
            Some("") => ("a process name has no directories", "use the name alone"),
            Some(last) => ("a process name has no directories", &*format!("use {last}, or add --full")),
            None if text.chars().any(char::is_control) => {
                ("control characters in names are seen as '?'", "use . for them")
            }
            None if text.len() > LONGEST_FILE_NAME => {
                ("no name is longer than 255 bytes", "add --full to match the command line")
            }
            None if text.len() > CUT_NAME && text.contains(' ') => {
                ("the kernel cuts names to 15 bytes", "add --full to match the command line")
            }
            None => return None,
        };
        Some(format!("'{text}' never matches: {why}; {instead}"))
    }
}

/// The names of a process in full, where the kernel has cut it: the last parts of its first three arguments and
/// of its executable's path (`program`) that begin as the name does. A script with an option on its `#!` line
/// stands third; a versioned link, and a program that was moved, have another name than the file.
///
/// A process can write over its arguments, and a title such as `long-daemon-nam: worker nginx` is no name.
pub fn full_names<'a>(comm: &[u8], command_line: &'a [u8], program: Option<&'a [u8]>) -> Vec<&'a [u8]> {
    if comm.len() != CUT_NAME {
        return Vec::new();
    }
    let arguments = arguments(command_line).take(3);
    let names = arguments.flat_map(|argument| [last_part(argument), last_part_of_any(argument)]);
    let names = names.filter(|name| !name.contains(&b' ')).chain(program);
    // Longer than a file's name it is none, and would fill logs and the state file.
    let mut names: Vec<_> =
        names.filter(|name| name.starts_with(comm) && name.len() <= LONGEST_FILE_NAME).collect();
    names.dedup();
    names
}

/// The path of an executable as `/proc/PID/exe` has it, without what is added to that of one that is gone.
pub fn without_mark(path: &[u8]) -> &[u8] {
    path.strip_suffix(b" (deleted)").unwrap_or(path)
}

/// The last part of an executable's path, as `/proc/PID/exe` has it.
pub fn program_name(path: &Path) -> &[u8] {
    last_part(without_mark(path.as_os_str().as_bytes()))
}

/// The last part of a path.
pub fn last_part(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// The last part of an argument, which Wine gives as `Z:\dir\name.exe`.
pub fn last_part_of_any(argument: &[u8]) -> &[u8] {
    last_part(argument).rsplit(|byte| *byte == b'\\').next().unwrap_or_default()
}

/// The arguments of a command line as `/proc/PID/cmdline` has it, the name that it was called by first.
pub fn arguments(command_line: &[u8]) -> impl Iterator<Item = &[u8]> {
    command_line.split(|byte| *byte == 0)
}

/// The first of them; empty, if there is none.
pub fn first_argument(command_line: &[u8]) -> &[u8] {
    arguments(command_line).next().unwrap_or_default()
}

/// What an interpreter runs, as a command line has it: the first argument after its own name that is no option.
pub fn script(command_line: &[u8]) -> &[u8] {
    arguments(command_line)
        .skip(1)
        .find(|argument| !argument.is_empty() && !argument.starts_with(b"-"))
        .unwrap_or_default()
}

/// Whether a program of this name is a bare interpreter, in whatever version.
pub fn is_interpreter(name: &[u8]) -> bool {
    const INTERPRETERS: &str = "sh dash bash ash zsh ksh busybox python pypy perl ruby node nodejs php java lua \
                                tclsh mono dotnet deno bun Rscript";
    let end =
        name.iter().rposition(|byte| !byte.is_ascii_digit() && *byte != b'.').map_or(0, |last| last + 1);
    let name = name.get(..end).unwrap_or_default();
    INTERPRETERS.split(' ').any(|interpreter| interpreter.as_bytes() == name)
}

/// A command line as `pgrep --full` and `ps` show it: with blanks between the arguments, or the name in
/// brackets where there is none.
pub fn shown_command_line(comm: &[u8], command_line: &[u8]) -> String {
    let end = command_line.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end == 0 {
        return format!("[{}]", printable(comm));
    }
    let shown = |byte: &u8| if matches!(byte, 0 | b'\n') { b' ' } else { *byte };
    let joined: Vec<u8> = command_line.iter().take(end).map(shown).collect();
    printable(&joined).into_owned()
}

/// Whether this is a script of the system's init, or of a package (`nginx.postinst`; deb-postinst(5) and dpkg's
/// folders for them): it has the name of the service that it starts.
pub fn is_init_script(command_line: &[u8]) -> bool {
    // The interpreter, perhaps an option of its own, and the script.
    arguments(command_line).take(3).any(|argument| {
        argument.starts_with(b"/var/lib/dpkg/info/")
            || argument.starts_with(b"/var/lib/dpkg/tmp.ci/")
            || argument.strip_prefix(b"/etc/").is_some_and(|rest| {
                rest.starts_with(b"init.d/")
                    || matches!(rest, [b'r', b'c', level, b'.', b'd', b'/', ..] if level.is_ascii_alphanumeric())
            })
    })
}

/// Whether this is a shell that runs `start_command`, whoever its parent is.
pub fn runs(command_line: &[u8], start_command: &str) -> bool {
    let line = command_line.strip_suffix(b"\0").unwrap_or(command_line);
    let mut arguments = line.splitn(3, |byte| *byte == 0).skip(1);
    arguments.next() == Some(b"-c") && arguments.next() == Some(start_command.as_bytes())
}

/// Whether a command line is an invocation of a program called `program` as a watchdog of ours.
pub fn is_invocation(command_line: &[u8], program: &[u8]) -> bool {
    const OPTIONS: [&str; 5] = ["process-name", "process_name", "start-command", "start_command", "config"];
    let mut arguments = arguments(command_line);
    arguments.next().map(last_part) == Some(program)
        && arguments.any(|argument| match argument {
            [b'-', b'-', long @ ..] => {
                let name = long.split(|byte| *byte == b'=').next();
                OPTIONS.iter().any(|option| name == Some(option.as_bytes()))
            }
            // -p, alone or among others; the hardware watchdog's daemon has no such option.
            [b'-', short @ ..] => short.contains(&b'p'),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::pattern::{Extent, Pattern};

    fn criteria(text: &str, extent: Extent, subject: Subject) -> Criteria {
        Criteria { subject, pattern: Pattern::new(text, extent).unwrap(), ..Criteria::default() }
    }

    #[test]
    fn a_cut_name_is_recovered_from_the_command_line() {
        let too_long = "a-very-long-script".repeat(15) + "\0";
        for (comm, line, program, full) in [
            (
                "containerd-shim",
                &b"/usr/bin/containerd-shim-runc-v2\0-namespace\0moby\0"[..],
                None,
                Some("containerd-shim-runc-v2"),
            ),
            (
                "a-very-long-scr",
                b"/bin/sh\0/opt/a-very-long-script.sh\0start\0",
                None,
                Some("a-very-long-script.sh"),
            ),
            (
                "a-very-long-scr",
                b"/usr/bin/python3\0-u\0/opt/a-very-long-script.py\0",
                None,
                Some("a-very-long-script.py"),
            ),
            ("a-very-long-scr", b"x\0y\0z\0/opt/a-very-long-script.py\0", None, None),
            ("exactly15bytes!", b"exactly15bytes!\0", None, Some("exactly15bytes!")),
            ("short", b"/usr/bin/shorter\0", None, None),
            ("a-very-long-scr", too_long.as_bytes(), None, None),
            // A title is no name, even where the executable may not be read.
            ("long-daemon-nam", b"long-daemon-nam: worker nginx\0", None, None),
            (
                "long-daemon-nam",
                b"long-daemon-nam: worker nginx\0",
                Some("long-daemon-name"),
                Some("long-daemon-name"),
            ),
            // What runs the script is not the script.
            (
                "a-very-long-scr",
                b"/bin/sh\0/opt/a-very-long-script.sh\0",
                Some("dash"),
                Some("a-very-long-script.sh"),
            ),
            // Wine.
            ("a-very-long-pro", b"Z:\\srv\\a-very-long-program.exe\0", None, Some("a-very-long-program.exe")),
        ] {
            let recovered = full_names(comm.as_bytes(), line, program.map(str::as_bytes));
            let recovered: Vec<_> = recovered.into_iter().map(String::from_utf8_lossy).collect();
            assert_eq!(recovered, Vec::from_iter(full), "{comm} {line:?}");
        }
        // A versioned link, and a program that was moved aside: the name that was typed comes first.
        let line = b"/usr/bin/a-very-long-program\0";
        assert_eq!(
            full_names(b"a-very-long-pro", line, Some(b"a-very-long-program-1.2")),
            [&b"a-very-long-program"[..], b"a-very-long-program-1.2"]
        );
    }

    #[test]
    fn either_form_of_a_long_name_matches() {
        let full = &[&b"containerd-shim-runc-v2"[..]];
        for (pattern, extent, expected) in [
            ("containerd-shim", Extent::Whole, true),
            ("containerd-shim-runc-v2", Extent::Whole, true),
            ("runc-v2", Extent::Part, true),
            ("containerd-shim-runc", Extent::Whole, false),
            ("containerd-shim-runc-v.", Extent::Whole, true),
        ] {
            let criteria = criteria(pattern, extent, Subject::Name);
            assert_eq!(criteria.matches(b"containerd-shim", full, b""), expected, "{pattern}");
            assert!(criteria.may_match(b"containerd-shim"));
        }
    }

    #[test]
    fn what_cannot_be_the_beginning_of_the_name_needs_no_closer_look() {
        for (pattern, extent, comm, expected) in [
            ("docker", Extent::Whole, &b"systemd-journal"[..], false),
            ("systemd-network", Extent::Whole, b"systemd-journal", false),
            ("systemd-journald", Extent::Whole, b"systemd-journal", true),
            // The end of the name, which the kernel has cut off, may match.
            ("docker", Extent::Part, b"systemd-journal", true),
            ("systemd-.*", Extent::Whole, b"systemd-journal", true),
            ("docker", Extent::Part, b"systemd-logind", false),
            // Cut in the middle of a character.
            ("sehr-langer-na\u{e4}", Extent::Whole, b"sehr-langer-na\xc3", true),
        ] {
            let criteria = criteria(pattern, extent, Subject::Name);
            assert_eq!(criteria.may_match(comm), expected, "{pattern:?} and {comm:?}");
        }
    }

    #[test]
    fn a_command_line_is_matched_as_it_is_shown() {
        let matches = |text: &str, line: &[u8]| {
            criteria(text, Extent::Part, Subject::CommandLine).matches(b"java", &[] as &[&[u8]], line)
        };
        let line = b"/usr/bin/java\0-jar\0/opt/app server.jar\0\0\0";
        assert!(matches("java -jar /opt/app server.jar$", line));
        assert!(!matches("java$", line));
        assert!(matches(r"^\[java\]$", b""));
        assert_eq!(shown_command_line(b"x", b"a\nb\0\xff\0"), "a b ?");
    }

    #[test]
    fn a_doubt_is_said() {
        let doubt = |text: &str, subject, start_command: &str| {
            let start_command = start_command.to_owned();
            Criteria { start_command, ..criteria(text, Extent::Part, subject) }.doubt().unwrap_or_default()
        };
        for text in
            ["docker", "kworker", "a b", "containerd-shim-runc-v2", "^/x", "a|b", "sshd", "nodejs-exporter"]
        {
            assert_eq!(doubt(text, Subject::Name, "service docker start"), "", "{text}");
        }
        for text in ["python3", "^sh$", "python3.11", "nodejs"] {
            assert!(doubt(text, Subject::Name, "").contains("is an interpreter"), "{text}");
        }
        assert!(doubt("/usr/sbin/nginx", Subject::Name, "").ends_with("use nginx, or add --full"));
        assert!(doubt("/usr/sbin/", Subject::Name, "").ends_with("use the name alone"));
        assert!(doubt("a\tb", Subject::Name, "").contains("control characters"));
        assert!(doubt(&"x".repeat(256), Subject::Name, "").contains("255"));
        assert!(doubt("nginx: master process", Subject::Name, "").contains("15 bytes"));
        assert!(
            doubt("app", Subject::CommandLine, "service app start")
                .contains("also matches the start command")
        );
        assert_eq!(doubt("^/opt/app", Subject::CommandLine, "service app start"), "");
    }

    #[test]
    fn init_scripts_are_known_by_their_place() {
        for (line, expected) in [
            (&b"/bin/sh\0/etc/init.d/nginx\0start\0"[..], true),
            (b"/bin/bash\0-e\0/etc/rc2.d/S01nginx\0start\0", true),
            (b"/bin/sh\0/etc/rcS.d/S01x\0", true),
            (b"/etc/init.d/nginx\0start\0", true),
            (b"/bin/sh\0/var/lib/dpkg/info/nginx.postinst\0configure\0", true),
            (b"/bin/sh\0-e\0/var/lib/dpkg/tmp.ci/nginx.preinst\0upgrade\0", true),
            (b"/bin/sh\0/var/lib/dpkg/nginx\0", false),
            (b"/bin/sh\0/opt/etc/init.d/nginx\0", false),
            (b"nginx\0-c\0-x\0/etc/init.d/nginx\0", false),
            (b"/bin/sh\0/etc/rc.local\0", false),
            (b"", false),
        ] {
            assert_eq!(is_init_script(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn the_shell_of_the_start_command_is_known() {
        let command = "service docker start";
        assert!(runs(b"/bin/sh\0-c\0service docker start\0", command));
        assert!(runs(b"bash\0-c\0service docker start\0", command));
        assert!(!runs(b"/bin/sh\0-c\0service docker start\0x\0", command));
        assert!(!runs(b"/bin/sh\0-c\0service docker start; x\0", command));
        assert!(!runs(b"/bin/sh\0/opt/service docker start\0", command));
        assert!(!runs(b"", command));
    }

    #[test]
    fn other_invocations_are_known_and_other_programs_are_not() {
        let is = |line: &[u8]| is_invocation(line, b"watchdog");
        assert!(is(b"/usr/bin/watchdog\0--process-name\0docker\0"));
        assert!(is(b"watchdog\0-f\0--start_command=x\0"));
        assert!(!is(b"/usr/sbin/watchdog\0-c\0/etc/watchdog.conf\0"), "the hardware watchdog's daemon");
        assert!(is(b"watchdog\0-fp\0docker\0"));
        assert!(!is(b"vim\0--process-name\0"));
        assert!(!is(b"watchdog\0--process-names\0"));
    }
}
