//! Names and command lines, which each process chooses for itself: NAME, a newline, the last part of the
//! executable's path, a newline, the command line with its null bytes.
#![no_main]

use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use watchdog::parts::{
    Criteria, Extent, Pattern, Signature, Subject, full_names, is_init_script, is_invocation, printable,
    program_name, runs, shown_command_line,
};
use watchdog_fuzz::assert_harmless;

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (comm, path, line) = (part(), part(), part());
    let comm = &comm[..comm.len().min(15)];
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
    let program = program_name(path);
    assert!(!program.contains(&b'/'));
    let program = (!program.is_empty()).then_some(program);

    let shown = printable(comm);
    assert_harmless(&shown.replace(|c| ('\u{2028}'..='\u{2069}').contains(&c), ""));
    assert_eq!(printable(shown.as_bytes()), shown);
    if std::str::from_utf8(comm).is_ok_and(|comm| !comm.contains(char::is_control)) {
        assert_eq!(shown.as_bytes(), comm);
    }

    let full_names = full_names(comm, line, program);
    for full in &full_names {
        assert!(comm.len() == 15 && full.starts_with(comm) && !full.contains(&b'/') && full.len() <= 255);
    }

    // Whatever is shown is found by what is shown.
    let command_line = shown_command_line(comm, line);
    assert!(!command_line.contains(char::is_control));
    let found = |text: &str, subject, extent| {
        let criteria = Criteria {
            subject,
            pattern: Pattern::new(&regex::escape(text), extent).unwrap(),
            ..Criteria::default()
        };
        criteria.may_match(comm) && criteria.matches(comm, &full_names, line)
    };
    assert!(found(&shown, Subject::Name, Extent::Part) && found(&shown, Subject::Name, Extent::Whole));
    for full in &full_names {
        assert!(found(&printable(full), Subject::Name, Extent::Whole));
    }
    if command_line.len() < 10_000 {
        assert!(found(&command_line, Subject::CommandLine, Extent::Whole));
    }

    let with = |parts: &[&[u8]]| parts.concat();
    assert!(is_init_script(&with(&[b"/bin/sh\0-e\0/etc/init.d/", line])));
    assert!(is_init_script(&with(&[b"/etc/rc3.d/", line])));
    assert!(!is_init_script(&with(&[b"a\0b\0c\0", line])));
    assert!(!is_init_script(line) || line.windows(5).any(|part| part == b"/etc/"));
    if let Ok(command) = std::str::from_utf8(line)
        && !command.contains('\0')
    {
        assert!(runs(&with(&[b"/bin/sh\0-c\0", line, b"\0"]), command));
        assert!(!runs(&with(&[b"/bin/sh\0-c\0", line, b"\0x\0"]), command));
        assert!(!runs(&with(&[b"/bin/sh\0-c\0", line, b"x\0"]), command));
        assert!(!runs(&with(&[b"/bin/sh\0", line, b"\0"]), command));
    }
    assert!(is_invocation(&with(&[b"/x/watchdog\0", line, b"\0--process-name\0"]), b"watchdog"));
    assert!(!is_invocation(&with(&[b"/x/watchdogs\0", line]), b"watchdog"));

    let signature = Signature::new(7, line);
    assert!(!signature.argument.0.iter().any(u8::is_ascii_digit));
    let mut other = line.to_vec();
    other.iter_mut().filter(|byte| byte.is_ascii_digit()).for_each(|digit| *digit = b'7');
    assert_eq!(Signature::new(7, &other), signature);
    assert_ne!(Signature::new(8, line), signature);
});
