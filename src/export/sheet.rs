//! An Excel workbook (ECMA-376): real dates, a frozen heading, a filter on each column.

use std::fmt;
use std::io::{Seek, Write};

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, FormatAlign, Workbook, Worksheet};

use super::cells::HEADINGS;
use super::{About, Error, Row};

/// Rows of a sheet (ECMA-376, Excel specifications and limits), less the heading.
pub(super) const ROWS_MAX: usize = 1_048_575;
/// Characters of a cell, from the same list.
const CELL_MAX: usize = 32_767;
/// Widths of the columns, in characters.
const WIDTHS: [f64; HEADINGS.len()] = [
    19.0, 24.0, 14.0, 18.0, 15.0, 26.0, 32.0, 21.0, 17.0, 44.0, 10.0, 30.0, 28.0, 38.0,
];

/// A workbook in the making. Its rows go to a temporary file one by one, so that it takes the same
/// memory however long it gets.
pub struct Sheet {
    workbook: Workbook,
    date: Format,
    rows: usize,
}

// By hand: what it holds is not for logs.
impl fmt::Debug for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sheet({} rows)", self.rows)
    }
}

impl Sheet {
    pub fn new(about: &About) -> Result<Self, Error> {
        let mut workbook = Workbook::new();
        let made_at = ExcelDateTime::from_timestamp(about.made_at.as_millis().div_euclid(1000))?;
        let properties = DocProperties::new()
            .set_title(&about.title)
            .set_company(&about.business)
            .set_comment(&about.selection)
            .set_creation_datetime(&made_at);
        workbook.set_properties(&properties);
        let heading = Format::new().set_bold().set_align(FormatAlign::Top);
        let sheet = workbook.add_worksheet_with_constant_memory()?;
        sheet.set_name("Contact history")?;
        sheet.set_freeze_panes(1, 0)?;
        for ((column, name), width) in (0..).zip(HEADINGS).zip(WIDTHS) {
            sheet.set_column_width(column, width)?;
            let name = if column == 0 { "Date (UTC)" } else { name };
            sheet.write_string_with_format(0, column, name, &heading)?;
        }
        Ok(Self {
            workbook,
            date: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
            rows: 0,
        })
    }

    /// What comes after [`rows_max`](super::Format::rows_max) has no place.
    pub fn add(&mut self, rows: &[Row]) -> Result<(), Error> {
        let place = ROWS_MAX.saturating_sub(self.rows);
        let sheet = self.workbook.worksheet_from_index(0)?;
        for row in rows.iter().take(place) {
            self.rows += 1;
            let number = u32::try_from(self.rows).unwrap_or(u32::MAX);
            write(sheet, number, row, &self.date)?;
        }
        Ok(())
    }

    pub fn finish(mut self, to: impl Write + Seek + Send) -> Result<(), Error> {
        let last = u32::try_from(self.rows).unwrap_or(u32::MAX);
        let columns = u16::try_from(HEADINGS.len() - 1).unwrap_or(u16::MAX);
        let sheet = self.workbook.worksheet_from_index(0)?;
        sheet.autofilter(0, 0, last, columns)?;
        self.workbook.save_to_writer(to)?;
        Ok(())
    }
}

fn write(sheet: &mut Worksheet, number: u32, row: &Row, date: &Format) -> Result<(), Error> {
    let at = ExcelDateTime::from_timestamp(row.date.as_millis().div_euclid(1000))?;
    sheet.write_datetime_with_format(number, 0, &at, date)?;
    for (column, text) in (1..).zip(row.texts()) {
        if text.is_empty() {
            continue;
        }
        if text.chars().nth(CELL_MAX).is_none() {
            sheet.write_string(number, column, text)?;
        } else {
            let start: String = text.chars().take(CELL_MAX).collect();
            sheet.write_string(number, column, start)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_workbook_is_a_zip_file_with_its_rows() {
        let about = About {
            title: "Contact history".to_owned(),
            business: "Lotus Yoga".to_owned(),
            selection: String::new(),
            of_all: true,
            made_at: Timestamp::parse("2026-11-26T10:00:00Z").unwrap(),
        };
        let mut sheet = Sheet::new(&about).unwrap();
        let long = "x".repeat(CELL_MAX + 1);
        let rows = [Row::sample("Anna", "=1+1"), Row::sample("Élise", &long)];
        sheet.add(&rows).unwrap();
        let mut file = Cursor::new(Vec::new());
        sheet.finish(&mut file).unwrap();
        assert!(file.get_ref().starts_with(b"PK"));
    }
}
