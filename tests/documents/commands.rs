//! The commands that documents show exist, with their flags.

use super::{documents, prose_and_code, quoted, root};

/// The commands in a document that start our program: lines of code, and what is quoted in the text.
fn shown_commands(text: &str) -> Vec<Vec<String>> {
    let (prose, code) = prose_and_code(text);
    let lines = code.into_iter().map(|line| line.trim_start().trim_start_matches("$ "));
    let lines = lines.map(|line| line.split(" # ").next().unwrap_or_default().to_owned());
    let all = lines.chain(quoted(&prose).into_iter().map(ToOwned::to_owned));
    all.filter_map(|line| {
        let mut words = line.split_whitespace().map(ToOwned::to_owned);
        let program = words.next()?;
        (program == "camkeep" || program.ends_with("/camkeep")).then(|| words.collect())
    })
    .collect()
}

/// Whether a command of ours takes these words; what is wrong if not. Values are not judged: documents put stand-ins there.
fn refusal(root: &clap::Command, words: &[String]) -> Option<String> {
    let mut command = root;
    for word in words {
        let word = word.trim_matches(|c: char| matches!(c, '[' | ']' | '…' | ',' | '"'));
        if word.starts_with(['<', '>', '|', '&']) {
            return None;
        }
        if let Some(flag) = word.strip_prefix("--") {
            let flag = flag.split('=').next().unwrap_or_default();
            let known = command
                .get_arguments()
                .any(|argument| argument.get_long() == Some(flag));
            if !known {
                return Some(format!("`{}` has no --{flag}", command.get_name()));
            }
        } else if command.has_subcommands() && word.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '-' | '|')) {
            let mut next = command;
            for name in word.split('|').filter(|name| !name.is_empty()) {
                let Some(found) = command.find_subcommand(name) else {
                    return Some(format!("`{}` has no subcommand {name}", command.get_name()));
                };
                next = found;
            }
            if word.contains('|') {
                return None;
            }
            command = next;
        }
    }
    None
}

#[test]
fn every_command_that_the_documents_show_exists() {
    let mut command = camkeep::cli::command();
    command.build();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    let scripts = ["assets/try", "assets/example.toml", "assets/demo-cameras.toml"].map(|name| root().join(name));
    for document in documents().into_iter().chain(scripts) {
        for words in shown_commands(&std::fs::read_to_string(&document).unwrap()) {
            let behind_feature = words.first().is_some_and(|word| word == "demo-camera");
            if behind_feature && !cfg!(feature = "demo-camera") {
                continue;
            }
            seen += 1;
            if let Some(problem) = refusal(&command, &words) {
                wrong.push(format!(
                    "{}: camkeep {}: {problem}",
                    document.display(),
                    words.join(" ")
                ));
            }
        }
    }
    assert!(seen > 5, "only {seen} commands were found in the documents");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let mut command = camkeep::cli::command();
    command.build();
    let told = |line: &str| refusal(&command, &shown_commands(&format!("see `{line}`"))[0]);
    assert_eq!(told("camkeep segments CAMERA --json"), None);
    assert_eq!(told("camkeep camera add|list|remove"), None);
    assert_eq!(
        told("./target/release/camkeep timeline front-door --from -1h --json"),
        None
    );
    assert!(told("camkeep fly").unwrap().contains("no subcommand fly"));
    assert!(told("camkeep camera add|fly").unwrap().contains("no subcommand fly"));
    assert!(told("camkeep segments CAMERA --fast").unwrap().contains("no --fast"));
}
