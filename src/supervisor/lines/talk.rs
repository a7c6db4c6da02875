//! What children say on standard error, line by line.

use crate::supervisor::guard::Output;
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// A longer line is told in pieces of this size, in bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// Portions that wait for whoever writes them. A child that complains faster waits in its own pipe, as it would before a terminal.
const PORTIONS_MAX: usize = 16;

/// Lines of one child.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Talk {
    /// Its number, from 1.
    pub child: usize,
    /// Whole lines, each with its line break.
    pub lines: Bytes,
}

/// Where it comes out.
pub type Talker = mpsc::Receiver<Talk>;

pub(super) fn channel() -> (mpsc::Sender<Talk>, Talker) {
    mpsc::channel(PORTIONS_MAX)
}

/// Reads until the end. Whatever comes is taken, also when nobody wants it.
pub(super) async fn listen(child: usize, mut stderr: Output, sink: mpsc::Sender<Talk>) {
    let mut buffer = BytesMut::with_capacity(PIECE_BYTES);
    loop {
        buffer.reserve(PIECE_BYTES.saturating_sub(buffer.len()).max(1));
        let count = stderr.read_buf(&mut buffer).await.unwrap_or(0);
        let lines = match memchr::memrchr(b'\n', &buffer) {
            Some(last) => buffer.split_to(last + 1).freeze(),
            None if !buffer.is_empty() && (count == 0 || buffer.len() >= PIECE_BYTES) => {
                let mut piece = buffer.split();
                piece.extend_from_slice(b"\n");
                piece.freeze()
            }
            None => Bytes::new(),
        };
        if !lines.is_empty() {
            // Without a listener it is read all the same: the child must not stand still.
            let _ = sink.send(Talk { child, lines }).await;
        }
        if count == 0 && buffer.is_empty() {
            return;
        }
    }
}
