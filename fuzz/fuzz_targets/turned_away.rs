//! What becomes of a client's wish to authenticate, where nobody is let in.

use eventry::session::{AuthRequest, AuthResult, Session};
use eventry::wire::RemoteError;

pub(crate) fn turn_away(session: &mut Session, request: &AuthRequest) {
    let error = RemoteError::authentication_failed();
    session.authenticate(request.ticket, AuthResult::Failed(error));
}
