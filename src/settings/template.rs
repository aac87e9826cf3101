//! Templates: one configuration file for several instances, which systemd has too.

use std::path::{Path, PathBuf};

use toml::de::DeValue;

/// The file that is read for the configuration `asked`. If `worker@2.toml` is not there, it is the template
/// `worker@.toml`, with the `2` that `%i` is in it.
pub fn file(asked: &Path) -> (PathBuf, Option<&str>) {
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    match of(asked) {
        Some((template, instance)) if !is_there(asked) && is_there(&template) => (template, Some(instance)),
        _ => (asked.to_owned(), None),
    }
}

/// Whether there is a file, or a template, for the configuration `asked`.
pub fn is_there(asked: &Path) -> bool {
    file(asked).0.is_file()
}

fn of(asked: &Path) -> Option<(PathBuf, &str)> {
    let (kind, instance) = asked.file_name()?.to_str()?.strip_suffix(".toml")?.split_once('@')?;
    let is_one = !kind.is_empty() && !instance.is_empty();
    is_one.then(|| (asked.with_file_name(format!("{kind}@.toml")), instance))
}

/// Whether the file at `path` is a template, and so no instance's.
pub fn is_template(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b"@.toml"))
}

/// Puts the instance in place of `%i`, and `%` in place of `%%`, in each text of the value.
///
/// # Errors
/// There is another letter behind a `%`.
pub fn fill_in(value: &mut DeValue, instance: &str) -> Result<(), String> {
    match value {
        DeValue::String(text) => *text = filled_in(text, instance)?.into(),
        DeValue::Array(items) => items.iter_mut().try_for_each(|item| fill_in(item.get_mut(), instance))?,
        DeValue::Table(table) => {
            table.iter_mut().try_for_each(|(_, value)| fill_in(value.get_mut(), instance))?;
        }
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
    Ok(())
}

fn filled_in(text: &str, instance: &str) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match if c == '%' { (c, rest.next()) } else { (c, None) } {
            ('%', Some('i')) => filled.push_str(instance),
            ('%', Some('%')) => filled.push('%'),
            ('%', next) => {
                let found: String = ['%'].into_iter().chain(next).collect();
                return Err(format!("'{found}' in a template; write %i for the instance, and %% for %"));
            }
            (c, _) => filled.push(c),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_without_a_file_has_its_template() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["worker@.toml", "worker@own.toml", "@.toml"] {
            std::fs::write(at(name), "").unwrap();
        }
        std::os::unix::fs::symlink("nowhere", at("worker@gone.toml")).unwrap();
        for (asked, read, instance) in [
            ("worker@2.toml", "worker@.toml", Some("2")),
            ("worker@a@b.c.toml", "worker@.toml", Some("a@b.c")),
            ("worker@own.toml", "worker@own.toml", None),
            // That it leads nowhere is for its administrator to hear.
            ("worker@gone.toml", "worker@gone.toml", None),
            ("worker@.toml", "worker@.toml", None),
            ("other@2.toml", "other@2.toml", None),
            ("@2.toml", "@2.toml", None),
            ("worker.toml", "worker.toml", None),
            ("worker@2", "worker@2", None),
        ] {
            assert_eq!(file(&at(asked)), (at(read), instance), "{asked}");
        }
        assert!(is_template(&at("worker@.toml")) && !is_template(&at("worker@2.toml")));
    }

    #[test]
    fn an_instance_is_filled_in_and_nothing_else() {
        for (text, filled) in [
            ("worker -n %i", Ok("worker -n 2")),
            ("%i%i", Ok("22")),
            ("date +%%F > %i.log", Ok("date +%F > 2.log")),
            ("%%i %%%i %%%%", Ok("%i %2 %%")),
            ("", Ok("")),
            ("date +%F", Err("'%F'")),
            ("100%", Err("'%'")),
            ("%%%", Err("'%'")),
            ("%\u{e4}", Err("'%\u{e4}'")),
        ] {
            let wrong = |what| format!("{what} in a template; write %i for the instance, and %% for %");
            assert_eq!(filled_in(text, "2"), filled.map(str::to_owned).map_err(wrong), "{text}");
        }
    }
}
