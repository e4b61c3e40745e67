//! Help whose paragraphs end with no line of a single word, however wide the terminal is.

use std::io::{IsTerminal, Write};

use clap::{Arg, Command};

/// A space at which no line ends. It is printed as any other.
const TIE: &str = "\u{a0}";

/// A command whose help has the last two words of each paragraph tied together.
pub(super) fn tied(mut command: Command) -> Command {
    if let Some(text) = command.get_about().map(tie) {
        command = command.about(text);
    }
    if let Some(text) = command.get_long_about().map(tie) {
        command = command.long_about(text);
    }
    if let Some(text) = command.get_after_help().map(tie) {
        command = command.after_help(text);
    }
    command.mut_args(tied_argument).mut_subcommands(tied)
}

/// What clap would put behind the help of an argument stands in it, because clap would have lines end anywhere in that.
fn tied_argument(argument: Arg) -> Arg {
    if !argument.get_action().takes_values() {
        let help = argument.get_help().map(tie);
        return match help {
            Some(text) => argument.help(text),
            None => argument,
        };
    }
    let mut behind = Vec::new();
    if let Some(name) = argument.get_env().filter(|_| !argument.is_hide_env_set()) {
        behind.push(format!("[env:{TIE}{}]", name.display()));
    }
    let defaults = argument.get_default_values().iter();
    let defaults: Vec<String> = defaults.map(|value| value.display().to_string()).collect();
    if !defaults.is_empty() && !argument.is_hide_default_value_set() {
        behind.push(format!("[default:{TIE}{}]", defaults.join(TIE)));
    }
    let possible = argument.get_possible_values();
    // Values with a help of their own are a list below.
    let is_list = possible.iter().any(|value| value.get_help().is_some());
    let names: Vec<&str> = possible.iter().map(|value| value.get_name()).collect();
    if !is_list && !names.is_empty() && !argument.is_hide_possible_values_set() {
        behind.push(tie(format!("[possible{TIE}values:{TIE}{}]", names.join(", "))));
    }
    let with_all = |text: String| [&[tie(text)], &behind[..]].concat().join(" ");
    let (short, long) = (argument.get_help(), argument.get_long_help());
    let (short, long) = (short.map(|text| text.to_string()), long.map(|text| text.to_string()));
    let mut argument = argument.hide_env(true).hide_default_value(true);
    if !is_list {
        argument = argument.hide_possible_values(true);
    }
    if let Some(text) = short {
        argument = argument.help(with_all(text));
    }
    if let Some(text) = long {
        argument = argument.long_help(with_all(text));
    }
    argument
}

/// The text with the last two words of each of its lines tied together.
fn tie(text: impl ToString) -> String {
    let text = text.to_string();
    let lines = text.split('\n').map(|line| match line.trim_end().rsplit_once(' ') {
        Some((before, last)) if !before.ends_with(' ') && !before.is_empty() => format!("{before}{TIE}{last}"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// As it is read.
fn printed(text: String) -> String {
    text.replace(TIE, " ").replace("subcommand(s)", "subcommands")
}

/// Prints help, the version, or what is wrong with a command line. Whether anybody reads it is not asked.
pub(super) fn print(error: &clap::Error) {
    let shown = |is_terminal: bool| {
        let text = error.render();
        printed(if is_terminal {
            text.ansi().to_string()
        } else {
            text.to_string()
        })
    };
    let _ = if error.use_stderr() {
        write!(std::io::stderr(), "{}", shown(std::io::stderr().is_terminal()))
    } else {
        write!(std::io::stdout(), "{}", shown(std::io::stdout().is_terminal()))
    };
}

#[cfg(test)]
mod tests {
    use super::super::command::command;
    use super::*;

    /// The words of every command.
    fn paths(command: &Command, above: &[String], found: &mut Vec<Vec<String>>) {
        let own = [above, &[command.get_name().to_owned()]].concat();
        for below in command.get_subcommands() {
            paths(below, &own, found);
        }
        found.push(own);
    }

    /// What `--help` prints on a terminal so wide.
    fn help(path: &[String], width: usize) -> String {
        let asked = path.iter().map(String::as_str).chain(["--help"]);
        let shown = tied(command()).term_width(width).try_get_matches_from(asked);
        printed(shown.err().map(|help| help.render().to_string()).unwrap_or_default())
    }

    #[test]
    fn no_help_has_a_line_of_one_word_that_was_left_over() {
        let mut all = Vec::new();
        paths(&command(), &[], &mut all);
        assert!(all.len() > 30);
        for (path, width) in all.iter().flat_map(|path| [(path, 80), (path, 100)]) {
            let help = help(path, width);
            assert!(help.contains("Usage: ") && !help.contains("(s)"), "{path:?}: {help}");
            let lines: Vec<&str> = help.lines().collect();
            for pair in lines.windows(2) {
                let (before, word) = (pair[0], pair[1].trim());
                let is_left_over = pair[1].starts_with(' ')
                    && !word.is_empty()
                    && !word.contains(' ')
                    && !before.trim().is_empty()
                    && before.chars().count() + 1 + word.chars().count() > width;
                assert!(!is_left_over, "{path:?} at {width} columns:\n{before}\n{}", pair[1]);
            }
        }
    }
}
