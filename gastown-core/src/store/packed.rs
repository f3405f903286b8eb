//! Many rows side by side, each value as it is stored: for whoever reads many rows and keeps none.

use super::unreadable::Unreadable;
use crate::model::value::{Cell, Value};
use crate::model::{Key, Row, RowKind};

/// Rows of one kind in one piece of memory; what they say is read where somebody asks for it.
///
/// A row that holds a value which is none of its column may be among them: [`Packed::row`] says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    kind: RowKind,
    /// Whether it has every row that was asked for, also those that could not be read.
    is_whole: bool,
    cells: Vec<Place>,
    /// The texts, one behind the other.
    texts: String,
}

/// A value, or where its text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Null,
    Int(i64),
    Text { at: usize, bytes: u32 },
}

impl Packed {
    /// No rows yet.
    pub const fn new(kind: RowKind) -> Self {
        Self { kind, is_whole: true, cells: Vec::new(), texts: String::new() }
    }

    /// These rows, which may not be all that were asked for.
    pub fn of(kind: RowKind, rows: &[Row]) -> Self {
        let mut packed = Self { is_whole: false, ..Self::new(kind) };
        for row in rows {
            row.with_cells(|cells| cells.iter().for_each(|cell| packed.push(cell)));
        }
        packed
    }

    /// Adds the next value of the last row, or the first of another.
    ///
    /// # Panics
    /// Where a text has 4 GiB or more, which no backend holds.
    pub fn push(&mut self, cell: &Cell<'_>) {
        let place = match cell {
            Cell::Null => Place::Null,
            Cell::Int(n) => Place::Int(*n),
            Cell::Text(text) => {
                let at = self.texts.len();
                self.texts.push_str(text);
                Place::Text { at, bytes: u32::try_from(text.len()).expect("a text is shorter than 4 GiB") }
            }
        };
        self.cells.push(place);
    }

    /// Leaves the last row out, of which a value could not be read.
    pub fn leave_out(&mut self) {
        self.is_whole = false;
        let whole = self.cells.len() - self.cells.len() % self.kind.columns().len();
        self.cells.truncate(whole);
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.cells.len() / self.kind.columns().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Whether every row is there that was asked for, as far as that is known.
    pub const fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// A value, by its row and the place of its column.
    pub fn cell(&self, row: usize, column: usize) -> Cell<'_> {
        match self.cells[row * self.kind.columns().len() + column] {
            Place::Null => Cell::Null,
            Place::Int(n) => Cell::Int(n),
            Place::Text { at, bytes } => Cell::text(&self.texts[at..at + bytes as usize]),
        }
    }

    /// A text; none where the value is another.
    pub fn text(&self, row: usize, column: usize) -> Option<&str> {
        match self.cells[row * self.kind.columns().len() + column] {
            Place::Text { at, bytes } => Some(&self.texts[at..at + bytes as usize]),
            Place::Null | Place::Int(_) => None,
        }
    }

    /// A number; none where the value is another.
    pub fn int(&self, row: usize, column: usize) -> Option<i64> {
        match self.cells[row * self.kind.columns().len() + column] {
            Place::Int(n) => Some(n),
            Place::Null | Place::Text { .. } => None,
        }
    }

    /// Whether there is no value.
    pub fn is_null(&self, row: usize, column: usize) -> bool {
        self.cells[row * self.kind.columns().len() + column] == Place::Null
    }

    /// The key of a row.
    pub fn key(&self, row: usize) -> Key {
        let values = (0..self.kind.key_len()).map(|column| Value::from(self.cell(row, column))).collect();
        Key { kind: self.kind, values }
    }

    /// A row, or what is wrong with it.
    ///
    /// # Errors
    /// A value is none of its column.
    pub fn row(&self, row: usize) -> Result<Row, Unreadable> {
        let cells: Vec<Cell<'_>> = (0..self.kind.columns().len()).map(|column| self.cell(row, column)).collect();
        self.kind.decode_cells(&cells).map_err(|error| Unreadable::new(self.key(row), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BeadId, LabelRow, Stored as _};

    fn label(bead: &str, label: &str) -> Row {
        LabelRow { bead: BeadId::new(bead).unwrap(), label: label.to_owned() }.into_row()
    }

    #[test]
    fn packed_rows_are_read_as_they_were() {
        let rows = [label("gt-1", ""), label("gt-2", "ä\0b")];
        let packed = Packed::of(RowKind::Label, &rows);
        assert_eq!((packed.len(), packed.is_empty(), packed.is_whole()), (2, false, false));
        for (n, row) in rows.iter().enumerate() {
            assert_eq!((packed.row(n).unwrap(), packed.key(n)), (row.clone(), row.key()));
        }
        assert_eq!((packed.text(1, 1), packed.int(1, 1), packed.is_null(1, 1)), (Some("ä\0b"), None, false));
    }

    #[test]
    fn a_row_of_which_a_value_could_not_be_read_is_left_out_and_a_wrong_value_is_said() {
        let mut packed = Packed::new(RowKind::Label);
        for cell in [Cell::text("gt-1"), Cell::text("red"), Cell::text("gt-2")] {
            packed.push(&cell);
        }
        packed.leave_out();
        assert_eq!((packed.len(), packed.is_whole()), (1, false));
        packed.push(&Cell::text("gt-3"));
        packed.push(&Cell::Int(3));
        let unreadable = packed.row(1).unwrap_err();
        assert_eq!(unreadable.key.values, [Value::Text("gt-3".to_owned()), Value::Int(3)]);
        assert_eq!(unreadable.error.code(), "column_unreadable");
        assert_eq!(packed.row(0).unwrap(), label("gt-1", "red"));
    }
}
