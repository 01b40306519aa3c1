//! `tallystick completions SHELL`.

use clap::{Args, Command};
use clap_complete::Shell;

/// Which shell.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Shell to complete for
    shell: Shell,
}

impl Completions {
    pub fn run(self, command: &mut Command) {
        clap_complete::generate(self.shell, command, "tallystick", &mut std::io::stdout());
    }
}
