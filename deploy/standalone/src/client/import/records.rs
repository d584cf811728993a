//! Records of a CSV file (RFC 4180), one at a time, each with the line that it begins in.

use std::collections::VecDeque;
use std::io::{self, Chain, Cursor, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};

/// Bytes of one row at most: far more than a profile may hold. A quote that is never closed is found by it, instead of by
/// the end of the file and of the memory.
pub(super) const ROW_BYTES_MAX: usize = 1 << 20;

/// What some programs put before the text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The records of a file. Memory does not depend on its size.
pub(super) struct Records<R> {
    reader: Reader<Watched<Chain<Cursor<Vec<u8>>, R>>>,
    record: ByteRecord,
    /// The line that everything before `passed` ended.
    line: u64,
    passed: u64,
}

/// Why there is no next record.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// The row that begins in this line does not end.
    #[error("line {line}: the row has more than {ROW_BYTES_MAX} bytes; is a quote not closed?")]
    TooLong {
        /// From 1.
        line: u64,
    },
}

impl<R: Read> Records<R> {
    /// Of a file from its beginning.
    ///
    /// # Errors
    /// [`Unread::Io`].
    pub(super) fn new(mut input: R) -> Result<Self, Unread> {
        let mut head = Vec::new();
        let most = BYTE_ORDER_MARK.len() as u64;
        let read = input.by_ref().take(most).read_to_end(&mut head);
        read.map_err(Unread::Io)?;
        if head == BYTE_ORDER_MARK {
            head.clear();
        }
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(Watched {
                input: Cursor::new(head).chain(input),
                at: 0,
                left: 0,
                is_past: false,
                ends: VecDeque::new(),
            });
        Ok(Self {
            reader,
            record: ByteRecord::new(),
            line: 1,
            passed: 0,
        })
    }

    /// The next record that is not an empty line, and its line, from 1. `None`: there is no other.
    ///
    /// # Errors
    /// [`Unread`]; nothing after it can be read.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &ByteRecord)>, Unread> {
        let begins = self.reader.position().byte();
        self.reader.get_mut().left = ROW_BYTES_MAX;
        let read = self.reader.read_byte_record(&mut self.record);
        self.pass(begins);
        match read {
            Ok(true) => Ok(Some((self.line, &self.record))),
            Ok(false) => Ok(None),
            Err(_) if self.reader.get_ref().is_past => Err(Unread::TooLong { line: self.line }),
            // Records of bytes have no other trouble.
            Err(error) => Err(Unread::Io(error.into())),
        }
    }

    /// Bytes of the file that are read.
    pub(super) fn bytes(&self) -> u64 {
        self.reader.position().byte()
    }

    /// Counts the line ends before the record that was read from here on. The reader counts, too, but takes a record to
    /// begin with the empty lines before it, and with what is left of the line end `\r\n` of the one before.
    fn pass(&mut self, begins: u64) {
        let ends = &mut self.reader.get_mut().ends;
        self.passed = self.passed.max(begins);
        while let Some((at, end)) = ends.front().copied() {
            if at > self.passed {
                break;
            }
            if at == self.passed {
                self.passed += 1;
            }
            ends.pop_front();
            // Of `\r\n`, the second one counts.
            let is_half = end == b'\r' && ends.front() == Some(&(at + 1, b'\n'));
            self.line += u64::from(!is_half);
        }
    }
}

/// Hands through what is read, and notes where its lines end.
struct Watched<R> {
    input: R,
    /// Bytes handed through.
    at: u64,
    /// How many more the row may have.
    left: usize,
    /// Whether it had more.
    is_past: bool,
    /// Where a `\r` or `\n` is, of those that were not counted yet.
    ends: VecDeque<(u64, u8)>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.left);
        if most == 0 {
            self.is_past = true;
            return Err(io::ErrorKind::InvalidData.into());
        }
        let read = self.input.read(&mut buffer[..most])?;
        for byte in &buffer[..read] {
            if matches!(byte, b'\r' | b'\n') {
                self.ends.push_back((self.at, *byte));
            }
            self.at += 1;
        }
        self.left -= read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read = Vec<(u64, Vec<Vec<u8>>)>;

    fn all(input: impl io::Read) -> Result<Read, Unread> {
        let mut records = Records::new(input)?;
        let mut all = Vec::new();
        while let Some((line, record)) = records.next()? {
            all.push((line, record.iter().map(<[u8]>::to_vec).collect()));
        }
        Ok(all)
    }

    fn cells(cells: &[&str]) -> Vec<Vec<u8>> {
        cells.iter().map(|cell| cell.as_bytes().to_vec()).collect()
    }

    /// Gives a few bytes at a time, so that line ends fall between two reads.
    struct Dribble<'a>(&'a [u8], usize);

    impl io::Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(self.0.len()).min(buffer.len());
            let (now, later) = self.0.split_at(most);
            buffer[..most].copy_from_slice(now);
            self.0 = later;
            Ok(most)
        }
    }

    #[test]
    fn lines_are_counted_over_quotes_empty_lines_and_each_kind_of_end() {
        let text = "\u{feff}a,b\r\n1,\"x\r\ny\"\r\n\r\n\n2,\"say \"\"hi\"\"\"\n3,\"\n\"\r4,é";
        let expected = vec![
            (1, cells(&["a", "b"])),
            (2, cells(&["1", "x\r\ny"])),
            (6, cells(&["2", "say \"hi\""])),
            (7, cells(&["3", "\n"])),
            (9, cells(&["4", "é"])),
        ];
        for size in 1..20 {
            assert_eq!(
                all(Dribble(text.as_bytes(), size)).unwrap(),
                expected,
                "{size}"
            );
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_is_found_and_not_kept() {
        let mut text = "a,b\n1,2\n\n3,\"".to_owned();
        text.extend(std::iter::repeat_n("x\n", ROW_BYTES_MAX));
        let unread = all(text.as_bytes()).unwrap_err();
        assert!(matches!(unread, Unread::TooLong { line: 4 }), "{unread}");
    }

    #[test]
    fn a_file_of_any_size_is_read_row_by_row() {
        let row = "x".repeat(1_000);
        let text: String = (0..3_000).map(|_| format!("{row},{row}\n")).collect();
        assert_eq!(all(text.as_bytes()).unwrap().len(), 3_000);
    }

    /// How a cell stands in the file.
    fn written(cell: &str) -> String {
        format!("\"{}\"", cell.replace('"', "\"\""))
    }

    /// The line in which the text after this one begins.
    fn line_after(text: &str) -> u64 {
        let ends = text.replace("\r\n", "\n").replace('\r', "\n");
        1 + u64::try_from(ends.matches('\n').count()).unwrap()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_with_its_lines(
            rows in prop::collection::vec(
                (prop::collection::vec("[a\"\r\n,é ]{0,6}", 1..4), "[\r\n]{0,3}", "\r\n|\n|\r"),
                0..12,
            ),
            bom: bool,
            size in 1_usize..64,
        ) {
            let mut text = String::from(if bom { "\u{feff}" } else { "" });
            let mut expected = Vec::new();
            for (row, blank, end) in &rows {
                text.push_str(blank);
                expected.push((line_after(&text), row.iter().map(|cell| cell.clone().into_bytes()).collect()));
                let row: Vec<String> = row.iter().map(|cell| written(cell)).collect();
                text.push_str(&row.join(","));
                text.push_str(end);
            }
            prop_assert_eq!(all(Dribble(text.as_bytes(), size)).unwrap(), expected);
        }

        #[test]
        fn any_bytes_are_records_or_none(bytes: Vec<u8>) {
            let records = all(bytes.as_slice()).unwrap();
            let lines: Vec<u64> = records.iter().map(|(line, _)| *line).collect();
            prop_assert!(lines.is_sorted());
        }
    }
}
