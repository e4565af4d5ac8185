//! The byte stream under an SMTP connection, able to say whether everything that was to be written
//! has been written.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Knows whether its [`Wire`] is past writing. The dialogue writes a command to its end, flushes,
/// and only then reads; so a read that has begun proves that the last byte was handed over.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    has_read: AtomicBool,
    bytewise: AtomicBool,
}

impl Progress {
    /// A new command begins.
    pub(super) fn restart(&self) {
        self.0.has_read.store(false, Ordering::Relaxed);
    }

    /// All of the command was written, and the answer is being waited for.
    pub(super) fn is_waiting_for_the_answer(&self) -> bool {
        self.0.has_read.load(Ordering::Relaxed)
    }

    /// Before STARTTLS nothing may be read ahead: what somebody on the way has put behind the reply
    /// to it would be waiting in a buffer, and pass for a reply under TLS (as in CVE-2011-0411).
    pub(super) fn read_bytewise(&self, bytewise: bool) {
        self.0.bytewise.store(bytewise, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    peer: SocketAddr,
    progress: Progress,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, peer: SocketAddr) -> (Self, Progress) {
        let progress = Progress::default();
        let wire = Self {
            stream,
            peer,
            progress: progress.clone(),
        };
        (wire, progress)
    }
}

impl<S> AsyncTokioStream for Wire<S>
where
    S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug,
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let flags = &self.progress.0;
        flags.has_read.store(true, Ordering::Relaxed);
        if !flags.bytewise.load(Ordering::Relaxed) {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut one))?;
        buf.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
