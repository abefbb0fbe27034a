//! Test vectors of the RFCs, recorded exchanges, and malformed messages.

use super::*;
use crate::auth::verifier::{KEY_LEN, Verifier, from_base64, hmac, to_base64};
use std::num::NonZeroU32;
use std::sync::OnceLock;

/// RFC 7677, section 3.
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const WITHOUT_PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const PROOF: &str = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// Two users with the password `pencil`.
fn passwords() -> &'static Passwords {
    static PASSWORDS: OnceLock<Passwords> = OnceLock::new();
    PASSWORDS.get_or_init(|| {
        let mut passwords = Passwords::new([7; KEY_LEN]);
        let salt = from_base64(SALT).unwrap();
        let verifier = Verifier::derive(b"pencil", &salt, NonZeroU32::new(4096).unwrap());
        passwords.insert("user", verifier.clone()).unwrap();
        passwords.insert("a,b=c", verifier).unwrap();
        passwords
    })
}

fn start(first: &str) -> Result<(ScramServer, String), SaslError> {
    let nonce = Nonce(SERVER_NONCE.to_owned());
    let (exchange, challenge) = ScramServer::start(first.as_bytes(), passwords(), &nonce)?;
    Ok((exchange, String::from_utf8(challenge).unwrap()))
}

fn finish(last: &str) -> Result<(String, Vec<u8>), SaslError> {
    start(CLIENT_FIRST).unwrap().0.finish(last.as_bytes())
}

/// Returns the final message of a client that knows the password.
fn proof_for(first: &str, challenge: &str, gs2_header: &str) -> String {
    let attributes: Vec<&str> = challenge.split(',').collect();
    let salt = from_base64(&attributes[1][2..]).unwrap();
    let count = attributes[2][2..].parse().unwrap();
    let mut salted = [0; KEY_LEN];
    let algorithm = ring::pbkdf2::PBKDF2_HMAC_SHA256;
    ring::pbkdf2::derive(algorithm, count, &salt, b"pencil", &mut salted);
    let mut proof = hmac(&salted, b"Client Key");
    let stored = ring::digest::digest(&ring::digest::SHA256, &proof);
    let bare = first.strip_prefix(gs2_header).unwrap();
    let binding = to_base64(gs2_header.as_bytes());
    let without_proof = format!("c={binding},{}", attributes[0]);
    let transcript = format!("{bare},{challenge},{without_proof}");
    let signature = hmac(stored.as_ref(), transcript.as_bytes());
    proof
        .iter_mut()
        .zip(signature)
        .for_each(|(byte, s)| *byte ^= s);
    format!("{without_proof},p={}", to_base64(&proof))
}

#[test]
fn exchange_of_rfc_7677_is_reproduced() {
    let (exchange, challenge) = start(CLIENT_FIRST).unwrap();
    assert_eq!(challenge, SERVER_FIRST);
    assert_eq!(exchange.claimed_user(), "user");
    let last = format!("{WITHOUT_PROOF},p={PROOF}");
    let (user, answer) = exchange.finish(last.as_bytes()).unwrap();
    assert_eq!(user, "user");
    assert_eq!(answer, SERVER_FINAL.as_bytes());
}

#[test]
fn name_with_comma_and_equals_sign_is_unescaped() {
    for (first, gs2_header, user) in [
        ("n,,n=a=2Cb=3Dc,r=x", "n,,", "a,b=c"),
        ("y,,n=user,r=x", "y,,", "user"),
        ("n,a=user,n=user,r=x", "n,a=user,", "user"),
        (
            "n,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=x,e=1,x=",
            "n,a=a=2Cb=3Dc,",
            "a,b=c",
        ),
    ] {
        let (exchange, challenge) = start(first).unwrap();
        let last = proof_for(first, &challenge, gs2_header);
        let (name, _) = exchange.finish(last.as_bytes()).expect(first);
        assert_eq!(name, user, "{first}");
    }
}

#[test]
fn longest_name_is_accepted() {
    let name = "u".repeat(255);
    let (exchange, _) = start(&format!("n,,n={name},r=x")).unwrap();
    assert_eq!(exchange.claimed_user(), name);
}

#[test]
fn malformed_first_message_is_rejected() {
    let long_name = format!("n,,n={},r=x", "u".repeat(256));
    let long_nonce = format!("n,,n=user,r={}", "x".repeat(1025));
    for first in [
        "",
        ",",
        "n",
        "n,",
        "n,,",
        "x,,n=user,r=x",
        "N,,n=user,r=x",
        "n,b=user,n=user,r=x",
        "n,,r=x",
        "n,,n=user",
        "n,,n=,r=x",
        "n,,n=user,r=",
        "n,,n=user,r=a b",
        "n,,n=user,r=é",
        "n,,n=us=er,r=x",
        "n,,n=us=2cer,r=x",
        "n,,n=us=2,r=x",
        "n,,n=us\ner,r=x",
        "n,,n=us\0er,r=x",
        "n,,m=ext,n=user,r=x",
        "n,,n=user,r=x,",
        "n,,n=user,r=x,1=2",
        "n,,n=user,r=x,ext",
        &long_name,
        &long_nonce,
    ] {
        let error = start(first).map(|_| ()).unwrap_err();
        assert!(
            matches!(error, SaslError::Malformed(_)),
            "{first:?}: {error}"
        );
    }
    let nonce = Nonce("n".into());
    let started = ScramServer::start(b"n,,n=\xff,r=x", passwords(), &nonce);
    assert!(matches!(started, Err(SaslError::Malformed(_))));
}

#[test]
fn channel_binding_and_other_authzid_are_rejected() {
    let error = |first| start(first).map(|_| ()).unwrap_err();
    assert_eq!(
        error("p=tls-exporter,,n=user,r=x"),
        SaslError::ChannelBinding
    );
    assert_eq!(error("n,a=root,n=user,r=x"), SaslError::AuthzidMismatch);
}

#[test]
fn malformed_final_message_is_rejected() {
    for last in [
        "".to_owned(),
        WITHOUT_PROOF.to_owned(),
        format!("{WITHOUT_PROOF},p="),
        format!("{WITHOUT_PROOF},p=AAAA"),
        format!("{WITHOUT_PROOF},p={PROOF},"),
        format!("{WITHOUT_PROOF},p={PROOF},x=y"),
        format!("{WITHOUT_PROOF},p={}", PROOF.trim_end_matches('=')),
        format!("{WITHOUT_PROOF},ext,p={PROOF}"),
        format!("r={SERVER_NONCE},c=biws,p={PROOF}"),
        format!("c=bi ws,r={SERVER_NONCE},p={PROOF}"),
        "\0".to_owned(),
    ] {
        let error = finish(&last).unwrap_err();
        assert!(
            matches!(error, SaslError::Malformed(_)),
            "{last:?}: {error}"
        );
    }
}

#[test]
fn proof_of_another_exchange_is_rejected() {
    let with = |without: &str| finish(&format!("{without},p={PROOF}")).unwrap_err();
    // The client's part of the nonce alone, a longer nonce, an empty one, and another header.
    assert_eq!(
        with("c=biws,r=rOprNGfwEbeRWgbNEkqO"),
        SaslError::NonceMismatch
    );
    assert_eq!(with(&format!("{WITHOUT_PROOF}x")), SaslError::NonceMismatch);
    assert_eq!(with("c=biws,r="), SaslError::NonceMismatch);
    assert_eq!(
        with(&WITHOUT_PROOF.replace("biws", "eSws")),
        SaslError::ChannelBinding
    );
    assert_eq!(
        with(&WITHOUT_PROOF.replace("biws", "")),
        SaslError::ChannelBinding
    );
    // An extension that the proof does not cover.
    let user = "user".to_owned();
    assert_eq!(
        with(&format!("{WITHOUT_PROOF},x=y")),
        SaslError::InvalidProof { user }
    );

    // Even a proof for the decoy is refused.
    let (mut exchange, challenge) = start("n,,n=user,r=x").unwrap();
    exchange.lookup.is_known = false;
    let last = proof_for("n,,n=user,r=x", &challenge, "n,,");
    assert!(exchange.finish(last.as_bytes()).is_err());
}

#[test]
fn proof_with_any_bit_flipped_is_rejected() {
    let right = from_base64(PROOF).unwrap();
    for bit in 0..right.len() * 8 {
        let mut proof = right.clone();
        proof[bit / 8] ^= 1 << (bit % 8);
        let last = format!("{WITHOUT_PROOF},p={}", to_base64(&proof));
        assert!(finish(&last).is_err(), "bit {bit}");
    }
}

#[test]
fn unknown_user_fails_like_a_wrong_password() {
    let challenge_of = |user: &str| start(&format!("n,,n={user},r=x")).unwrap().1;
    let shape = |challenge: &str| {
        let attributes: Vec<&str> = challenge.split(',').collect();
        (
            attributes.len(),
            attributes[1].len(),
            attributes[2].to_owned(),
        )
    };
    assert_eq!(
        shape(&challenge_of("unknown")),
        shape(&challenge_of("user"))
    );
    assert_eq!(
        challenge_of("unknown"),
        challenge_of("unknown"),
        "the same salt again"
    );
    assert_ne!(challenge_of("unknown"), challenge_of("another"));

    let (exchange, challenge) = start("n,,n=unknown,r=x").unwrap();
    let last = proof_for("n,,n=unknown,r=x", &challenge, "n,,");
    let user = "unknown".to_owned();
    assert_eq!(
        exchange.finish(last.as_bytes()).unwrap_err(),
        SaslError::InvalidProof { user }
    );
}

#[test]
fn debug_output_has_no_secrets() {
    let users = passwords();
    let verifier = Verifier::derive(b"pencil", &[1; 16], NonZeroU32::new(4096).unwrap());
    let (exchange, _) = start(CLIENT_FIRST).unwrap();
    let shown = format!(
        "{users:?} {verifier:?} {exchange:?} {:?}",
        Nonce("n0".into())
    );
    let keys = verifier.to_string();
    let stored = keys.rsplit('$').next().unwrap();
    assert!(!shown.contains(stored) && !shown.contains("n0"), "{shown}");
    assert!(!shown.contains("key"), "{shown}");
}

/// Recorded exchanges of virsh and libvirtd, both with Cyrus SASL 2.1.28. The password of `fred` is
/// `123456`; the client of the last exchange used another one.
const RECORDED: [[&str; 4]; 3] = [
    [
        "n,,n=fred,r=bsRblC7SSsRkBSyXMluqbZ0FoqbhUPaT",
        "r=bsRblC7SSsRkBSyXMluqbZ0FoqbhUPaTgNfjiPZ80skbYPDpu68DfOHjNdYTL1gb,s=MdG5no+0p/AeM3EjJLW7+BTKMQPT6bveBNDQEceotpU=,i=4096",
        "c=biws,r=bsRblC7SSsRkBSyXMluqbZ0FoqbhUPaTgNfjiPZ80skbYPDpu68DfOHjNdYTL1gb,p=dg2z4IxrJkTcg97GhObKZ+9NlzXFdRwH8noAkGUribg=",
        "v=83Q02ra5aYgC44AnL8ygGeELzIgqyk9eZDSWio1b99o=",
    ],
    [
        "n,,n=fred,r=KQ6zaJOcRsOV200qUoEHWsfCAxxxCWts",
        "r=KQ6zaJOcRsOV200qUoEHWsfCAxxxCWtsD7FDx7bZSb21eYyuLymokGFtqbL4OFnW,s=MdG5no+0p/AeM3EjJLW7+BTKMQPT6bveBNDQEceotpU=,i=4096",
        "c=biws,r=KQ6zaJOcRsOV200qUoEHWsfCAxxxCWtsD7FDx7bZSb21eYyuLymokGFtqbL4OFnW,p=ENNb3Z7CT+dSnOQtVHzjJiVqVh8w1Fn8ujz0M9ntC1Y=",
        "v=O6LbY+TpDOnCQSsEn1PTyeSqsR/Gp4zzSbVzhqV/j8U=",
    ],
    [
        "n,,n=fred,r=eCf9vfrsXcvSLPIBY/JKBjp5mi+sc/UP",
        "r=eCf9vfrsXcvSLPIBY/JKBjp5mi+sc/UPt7MEZoYlm7b8xYuv+DKXpZoXjlyaFsJI,s=MdG5no+0p/AeM3EjJLW7+BTKMQPT6bveBNDQEceotpU=,i=4096",
        "c=biws,r=eCf9vfrsXcvSLPIBY/JKBjp5mi+sc/UPt7MEZoYlm7b8xYuv+DKXpZoXjlyaFsJI,p=iipItZg/opE5tKgfFJ6zenzCOYs8EDzGC5U9X7ozC9A=",
        "",
    ],
];

#[test]
fn recorded_exchanges_of_cyrus_sasl_are_reproduced() {
    for [first, challenge, last, answer] in RECORDED {
        let attributes: Vec<&str> = challenge.split(',').collect();
        let salt = from_base64(&attributes[1][2..]).unwrap();
        let count = attributes[2][2..].parse().unwrap();
        let mut users = Passwords::new([7; KEY_LEN]);
        let verifier = Verifier::derive(b"123456", &salt, count);
        users.insert("fred", verifier).unwrap();
        let client_nonce = first.rsplit_once("r=").unwrap().1;
        let nonce = Nonce(attributes[0][2 + client_nonce.len()..].to_owned());

        let (exchange, said) = ScramServer::start(first.as_bytes(), &users, &nonce).unwrap();
        assert_eq!(String::from_utf8(said).unwrap(), challenge);
        match exchange.finish(last.as_bytes()) {
            Ok((_, said)) => assert_eq!(String::from_utf8(said).unwrap(), answer),
            Err(SaslError::InvalidProof { user }) => assert_eq!((&user[..], answer), ("fred", "")),
            Err(error) => panic!("{error}"),
        }
    }
}
