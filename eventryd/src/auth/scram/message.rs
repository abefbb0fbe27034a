//! Parsing of the client's two messages.

use crate::auth::SaslError;
use crate::auth::verifier::{KEY_LEN, from_base64};

/// Maximum length of a user name in bytes.
const MAX_NAME_LEN: usize = 255;
/// Maximum length of the client's nonce in bytes.
const MAX_NONCE_LEN: usize = 1_024;

/// Client's first message: `[n|y],[a=AUTHZID],n=USER,r=NONCE[,EXTENSION…]`.
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    /// Part up to and including the second comma, which the final message repeats.
    pub(super) gs2_header: &'a str,
    /// Part after the header.
    pub(super) bare: &'a str,
    /// Authorization identity, if present.
    pub(super) authzid: Option<String>,
    pub(super) user: String,
    pub(super) nonce: &'a str,
}

/// Client's final message: `c=BINDING,r=NONCE[,EXTENSION…],p=PROOF`.
#[derive(Debug)]
pub(super) struct ClientFinal<'a> {
    pub(super) channel_binding: Vec<u8>,
    pub(super) nonce: &'a str,
    pub(super) without_proof: &'a str,
    pub(super) proof: [u8; KEY_LEN],
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, SaslError> {
        let text = utf8_text(message)?;
        let malformed = || SaslError::Malformed("the client's first message");
        let (binding, rest) = text.split_once(',').ok_or_else(malformed)?;
        match binding {
            // `y`: the client supports channel binding, but the server does not offer it.
            "n" | "y" => {}
            _ if binding.starts_with("p=") => return Err(SaslError::ChannelBinding),
            _ => return Err(malformed()),
        }
        let (authzid, bare) = rest.split_once(',').ok_or_else(malformed)?;
        let gs2_header = &text[..text.len() - bare.len()];
        let authzid = match authzid.strip_prefix("a=") {
            Some(name) => Some(unescape_name(name)?),
            None if authzid.is_empty() => None,
            None => return Err(malformed()),
        };
        let mut attributes = bare.split(',');
        // `m=` before the name requires an extension. None is supported, so it is malformed here.
        let user = attribute(attributes.next(), "n=").ok_or_else(malformed)?;
        let nonce = attribute(attributes.next(), "r=").ok_or_else(malformed)?;
        let is_printable = |byte: &u8| (0x21..=0x7e).contains(byte);
        let has_valid_len = (1..=MAX_NONCE_LEN).contains(&nonce.len());
        if !has_valid_len || !nonce.as_bytes().iter().all(is_printable) {
            return Err(SaslError::Malformed("the client's nonce"));
        }
        if !attributes.all(is_extension) {
            return Err(malformed());
        }
        Ok(Self {
            gs2_header,
            bare,
            authzid,
            user: unescape_name(user)?,
            nonce,
        })
    }
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, SaslError> {
        let text = utf8_text(message)?;
        let malformed = || SaslError::Malformed("the client's last message");
        // The proof is base64, which has no comma: the last `,p=` starts it.
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or_else(malformed)?;
        let proof = from_base64(proof).ok_or_else(malformed)?;
        let mut attributes = without_proof.split(',');
        let binding = attribute(attributes.next(), "c=").ok_or_else(malformed)?;
        let nonce = attribute(attributes.next(), "r=").ok_or_else(malformed)?;
        if !attributes.all(is_extension) {
            return Err(malformed());
        }
        Ok(Self {
            channel_binding: from_base64(binding).ok_or_else(malformed)?,
            nonce,
            without_proof,
            proof: proof.try_into().map_err(|_| malformed())?,
        })
    }
}

fn utf8_text(message: &[u8]) -> Result<&str, SaslError> {
    let text = std::str::from_utf8(message).map_err(|_| SaslError::Malformed("not UTF-8"))?;
    if text.contains('\0') {
        return Err(SaslError::Malformed("contains a NUL"));
    }
    Ok(text)
}

fn attribute<'a>(attribute: Option<&'a str>, name: &str) -> Option<&'a str> {
    attribute?.strip_prefix(name)
}

/// Returns `true` for an optional extension: a letter, `=` and a value. Mandatory extensions (`m=`)
/// are only allowed before the user name, where they are rejected.
fn is_extension(attribute: &str) -> bool {
    let mut characters = attribute.chars();
    characters.next().is_some_and(|c| c.is_ascii_alphabetic()) && characters.next() == Some('=')
}

/// Decodes a `saslname` (RFC 5802, section 5.1): `=2C` is a comma and `=3D` an equals sign.
fn unescape_name(escaped: &str) -> Result<String, SaslError> {
    let malformed = || SaslError::Malformed("the user's name");
    let mut name = String::new();
    let mut rest = escaped;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        let (character, after) = match after.split_at_checked(2) {
            Some(("2C", after)) => (',', after),
            Some(("3D", after)) => ('=', after),
            _ => return Err(malformed()),
        };
        name.push(character);
        rest = after;
    }
    name.push_str(rest);
    if name.is_empty() || name.len() > MAX_NAME_LEN || name.contains(char::is_control) {
        return Err(malformed());
    }
    Ok(name)
}
