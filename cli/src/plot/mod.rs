//! `rebrew plot`: pictures of what files hold.

mod filters;
mod sheet;

use crate::Answer;
use crate::failure::Failure;

#[derive(clap::Subcommand)]
pub(crate) enum Plot {
    Filters(filters::Arguments),
}

pub(crate) fn run(plot: &Plot, quiet: bool) -> Result<Answer, Failure> {
    match plot {
        Plot::Filters(arguments) => filters::run(arguments, quiet),
    }
}
