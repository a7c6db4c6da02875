//! Making way for what else a runtime has to do.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::yield_now;

/// Pending, until everything else that is ready has had its turn.
///
/// On a runtime of one thread a mere wake would put the task before what that thread runs by itself (the future of `block_on`), for as
/// long as there is something to move. With several threads it puts the task behind the others, where any thread finds it; the pause would
/// tie it to this thread, which may be about to run something long.
pub(super) fn let_others_run<T>(cx: &mut Context<'_>) -> Poll<T> {
    let one_thread =
        Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() != RuntimeFlavor::MultiThread);
    // The runtime keeps the waker until then; the future itself has done its work with the first poll.
    if !one_thread || pin!(yield_now()).poll(cx).is_ready() {
        cx.waker().wake_by_ref();
    }
    Poll::Pending
}
