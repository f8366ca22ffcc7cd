//! Matrix products: packed panels and register tiles.

mod micro;
mod op;
mod pack;
mod product;
mod segments;
mod split;

pub(crate) use micro::{Ahead, Finish, LINE, TILE_VECTORS, Tile, compute};
pub(crate) use op::{forward, workspace_len};
pub(crate) use pack::{Matrix, Packed, Panels, pack_column_panel, pack_row_panel, pack_rows};
pub(crate) use product::{Grid, Product, scratch_len};
pub(crate) use segments::{Blocked, Segments};
pub(crate) use split::{MAX_DEPTH, Split};
