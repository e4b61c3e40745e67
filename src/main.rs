//! camkeep: argv in, exit code out.

fn main() {
    std::process::exit(camkeep::cli::run(std::env::args_os()));
}
