//! A message as it comes over the wire, line by line (RFC 5321 4.5.2).

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// How large a message may be, and how much of its beginning is kept.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub bytes_max: usize,
    pub kept_max: usize,
}

#[derive(Debug)]
pub enum Message {
    /// It came as a whole; its beginning, without the dots of the wire.
    Whole(Vec<u8>),
    TooLong,
    /// The client took too long.
    Late,
    /// The client went away.
    Ended,
}

#[derive(Debug)]
pub(super) enum Line {
    Whole,
    TooLong,
    /// The client has closed, perhaps within the line.
    Ended,
}

/// Longer lines are read in pieces of so many bytes, so that one without end takes no memory.
const PIECE_MAX: usize = 32 * 1024;

/// Appends one line, its end included.
pub(super) async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    bytes_max: usize,
) -> io::Result<Line> {
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let count = reader.take(limit).read_until(b'\n', line).await?;
    Ok(if line.ends_with(b"\n") && count > 0 {
        Line::Whole
    } else if count == bytes_max {
        Line::TooLong
    } else {
        Line::Ended
    })
}

/// Up to the line with a single dot. Only CR LF ends a line here: a bare LF before or after the dot
/// is content, or one message could be read as two (SMTP smuggling).
pub(super) async fn read(
    reader: &mut (impl AsyncBufRead + Unpin),
    size: Size,
) -> io::Result<Message> {
    let (mut kept, mut length) = (Vec::new(), 0_usize);
    let (mut at_line_start, mut after_cr) = (true, false);
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if let Line::Ended = read_line(reader, &mut piece, PIECE_MAX).await? {
            return Ok(Message::Ended);
        }
        if at_line_start && piece == b".\r\n" {
            return Ok(Message::Whole(kept));
        }
        let stuffed = at_line_start && piece.starts_with(b".");
        let content = piece.get(usize::from(stuffed)..).unwrap_or_default();
        length = length.saturating_add(content.len());
        if length > size.bytes_max {
            return Ok(Message::TooLong);
        }
        let room = size.kept_max.saturating_sub(kept.len());
        let first = content.get(..room.min(content.len()));
        kept.extend_from_slice(first.unwrap_or_default());
        // A piece may end between the two.
        at_line_start = piece.ends_with(b"\r\n") || (after_cr && piece == b"\n");
        after_cr = piece.ends_with(b"\r");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        bytes_max: 100_000,
        kept_max: 100_000,
    };

    async fn read_of(mut bytes: &[u8]) -> Message {
        read(&mut bytes, SIZE).await.unwrap()
    }

    #[tokio::test]
    async fn dots_are_unstuffed_and_the_lone_dot_ends_the_message() {
        let Message::Whole(message) = read_of(b"a\r\n..b\r\n.c\r\n\r\n.\r\nQUIT\r\n").await else {
            panic!("the message is whole")
        };
        assert_eq!(message, b"a\r\n.b\r\nc\r\n\r\n");
        assert!(matches!(read_of(b".\r\n").await, Message::Whole(m) if m.is_empty()));
    }

    #[tokio::test]
    async fn only_cr_lf_dot_cr_lf_ends_a_message() {
        for smuggled in [
            "a\n.\r\nb\r\n.\r\n",
            "a\r\n.\nb\r\n.\r\n",
            "a\n.\nb\r\n.\r\n",
        ] {
            let Message::Whole(message) = read_of(smuggled.as_bytes()).await else {
                panic!("the message is whole")
            };
            assert!(message.ends_with(b"b\r\n"), "{smuggled:?}");
        }
    }

    #[tokio::test]
    async fn a_flood_or_an_early_end_is_told_from_a_message() {
        assert!(matches!(read_of(b"a\r\n").await, Message::Ended));
        let flood = vec![b'x'; SIZE.bytes_max + 1];
        assert!(matches!(read_of(&flood).await, Message::Ended));
        let flood = vec![b'x'; SIZE.bytes_max + PIECE_MAX];
        assert!(matches!(read_of(&flood).await, Message::TooLong));
        let mut many_lines = b"x\r\n".repeat(SIZE.bytes_max / 3 + 2);
        many_lines.extend(b".\r\n");
        assert!(matches!(read_of(&many_lines).await, Message::TooLong));
        let mut longest = vec![b'x'; SIZE.bytes_max - 2];
        longest.extend(b"\r\n.\r\n");
        assert!(matches!(read_of(&longest).await, Message::Whole(m) if m.len() == SIZE.bytes_max));
    }

    #[tokio::test]
    async fn a_line_end_cut_in_two_is_a_line_end_and_what_is_not_kept_is_read() {
        let mut bytes = vec![b'x'; PIECE_MAX - 1];
        bytes.extend(b"\r\n.\r\nQUIT\r\n");
        let size = Size {
            kept_max: 3,
            ..SIZE
        };
        let mut rest = bytes.as_slice();
        let read = read(&mut rest, size).await.unwrap();
        assert!(matches!(read, Message::Whole(m) if m == b"xxx"));
        assert_eq!(rest, b"QUIT\r\n");
    }
}
