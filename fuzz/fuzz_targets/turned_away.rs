//! What becomes of a client's wish to authenticate, where nobody is let in.

use eventryd::session::{AuthRequest, AuthResult, Session};
use eventryd::wire::RemoteError;

pub(crate) fn turn_away(session: &mut Session, request: &AuthRequest) {
    let error = RemoteError::authentication_failed();
    session.authenticate(request.ticket, AuthResult::Failed(error));
}
