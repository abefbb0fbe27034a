//! Certificate revocation lists (RFC 5280, section 5).

use super::date::read_date;
use super::der::{DerReader, Malformed, tag, write_element};
use super::dn::distinguished_name;
use super::files::{self, content_error};
use super::{TlsConfigError, TlsFiles};
use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::Path;
use webpki::{CertRevocationList, OwnedCertRevocationList};

/// The parsed fields of a revocation list. Dates are in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RevocationListFields<'a> {
    /// Content of the issuer's SEQUENCE.
    pub(super) issuer: &'a [u8],
    pub(super) this_update: i64,
    /// The last second of its validity. rustls-webpki rejects a list without it.
    pub(super) next_update: i64,
    /// Set if the list may cover a part of the issuer's certificates only.
    pub(super) is_partial: bool,
}

const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];

impl<'a> RevocationListFields<'a> {
    pub(super) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = DerReader::new(der)
            .expect_nested(tag::SEQUENCE)?
            .expect_nested(tag::SEQUENCE)?;
        fields.optional(tag::INTEGER)?;
        fields.expect(tag::SEQUENCE)?;
        let mut oid = Vec::new();
        write_element(&mut oid, tag::OBJECT_IDENTIFIER, ISSUING_DISTRIBUTION_POINT);
        Ok(RevocationListFields {
            issuer: fields.expect(tag::SEQUENCE)?,
            this_update: read_date(&mut fields)?,
            next_update: read_date(&mut fields)?,
            is_partial: der.windows(oid.len()).any(|bytes| bytes == oid),
        })
    }
}

/// Returns the lists without those that a newer list of the same issuer replaces.
///
/// rustls-webpki uses the first list of an issuer only. GnuTLS uses the newest one.
pub(super) fn newest_lists<L: AsRef<[u8]>>(mut lists: Vec<L>) -> Vec<L> {
    lists.sort_by_key(|list| Reverse(fields_of(list).map(|fields| fields.this_update)));
    let mut issuers = HashSet::new();
    lists.retain(|list| {
        // A list that cannot be parsed is kept, so that its error is reported.
        fields_of(list)
            .is_none_or(|fields| fields.is_partial || issuers.insert(fields.issuer.to_vec()))
    });
    lists
}

fn fields_of(list: &impl AsRef<[u8]>) -> Option<RevocationListFields<'_>> {
    RevocationListFields::read(list.as_ref()).ok()
}

/// Parses the lists for rustls-webpki.
pub(super) fn parse_lists(
    lists: &[impl AsRef<[u8]>],
    path: Option<&Path>,
) -> Result<Vec<CertRevocationList<'static>>, TlsConfigError> {
    let list = |der: &[u8]| {
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| {
            let reason = format!("{error}; it must be of version 2");
            content_error(files::REVOCATIONS, path.unwrap_or(Path::new("")), reason)
        })?;
        Ok(list.into())
    };
    lists.iter().map(|der| list(der.as_ref())).collect()
}

/// Returns the issuer and path of each list for a message, and the last second of its validity.
pub(super) fn list_names(lists: &[impl AsRef<[u8]>], path: Option<&Path>) -> Vec<(String, i64)> {
    let path = path.unwrap_or(Path::new("")).display();
    let fields = lists.iter().filter_map(fields_of);
    fields
        .map(|fields| {
            let name = distinguished_name(fields.issuer).unwrap_or_default();
            (format!("\"{name}\" in {path}"), fields.next_update)
        })
        .collect()
}

/// Checks that each CA has a list. The subjects are the contents of their SEQUENCE, like the issuers
/// of the lists.
pub(super) fn check_every_list<'a>(
    subjects: impl Iterator<Item = &'a [u8]>,
    lists: &[impl AsRef<[u8]>],
    files: &TlsFiles,
) -> Result<(), TlsConfigError> {
    let missing = |reason| Err(TlsConfigError::NoRevocationList { reason });
    let Some(path) = &files.crl else {
        return missing("`crl_file` is empty".to_owned());
    };
    let path = path.display();
    if lists.is_empty() {
        return missing(format!("the {} {path} does not exist", files::REVOCATIONS));
    }
    let issuers: HashSet<&[u8]> = lists
        .iter()
        .filter_map(|list| fields_of(list).map(|fields| fields.issuer))
        .collect();
    for subject in subjects {
        if !issuers.contains(subject) {
            let name = distinguished_name(subject).unwrap_or_default();
            let ca = files.ca.display();
            return missing(format!("{path} has no list of the CA \"{name}\" in {ca}"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "revocation_tests.rs"]
mod tests;
