//! What crosses modules; one binary, so that it links once.

mod complete;
mod floors;
mod imports;
