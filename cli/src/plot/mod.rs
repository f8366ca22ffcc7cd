//! `rebrew plot`: pictures of what files hold.

pub(crate) mod axis;
pub(crate) mod chart;
pub(crate) mod curves;
mod filters;
pub(crate) mod history;
pub(crate) mod sheet;
mod smooth;
mod svg;

use crate::Answer;
use crate::failure::Failure;

#[derive(clap::Subcommand)]
pub(crate) enum Plot {
    Filters(filters::Arguments),
    Curves(curves::Arguments),
}

pub(crate) fn run(plot: &Plot, quiet: bool) -> Result<Answer, Failure> {
    match plot {
        Plot::Filters(arguments) => filters::run(arguments, quiet),
        Plot::Curves(arguments) => curves::run(arguments, quiet),
    }
}
