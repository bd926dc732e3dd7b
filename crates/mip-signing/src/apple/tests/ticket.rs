//! Tickets.

use super::super::ticket::check;
use super::super::{LeafKind, Ticket};
use super::*;

struct Maker {
    root: Entity,
    authority: Entity,
    signer: Entity,
}

impl Maker {
    fn new(signer_mark: &[u8], authority_mark: &[u8]) -> Self {
        let root = entity("root", None, &long(), &ca_extensions(None));
        let extensions = [ca_extensions(None), vec![mark(authority_mark, false)]].concat();
        let authority = entity("authority", Some(&root), &long(), &extensions);
        let extensions = [digital_signature(), mark(signer_mark, false)];
        let signer = entity("tickets", Some(&authority), &around_now(), &extensions);
        Self { root, authority, signer }
    }

    fn list() -> Vec<u8> {
        let mut list = b"g8tk\x02\0\x14\0\x02\0\0\0\0\0\0\0".to_vec();
        list.extend(NOW.to_le_bytes());
        list.push(1);
        list.extend([0xaa; 20]);
        list.push(2);
        list.extend([0xbb; 20]);
        list
    }

    fn ticket(&self, list: &[u8]) -> Vec<u8> {
        let certificates = sequence(&[&self.signer.der, &self.authority.der]);
        let mut out = b"s8ch\x01\0\0\0".to_vec();
        out.extend((certificates.len() as u32).to_le_bytes());
        out.extend((list.len() as u32).to_le_bytes());
        out.extend(certificates);
        out.extend(list);
        let signature = self.signer.key.sign(&out).unwrap();
        out.extend(&signature);
        out.resize(out.len() + 72 - signature.len(), 0);
        out
    }

    fn check(&self, blob: &[u8]) -> Ticket {
        let anchors = [Anchor { name: "test root", certificate: self.root.certificate() }];
        check(blob, &mut Check::new(NOW, &Limits::default(), &anchors))
    }
}

#[test]
fn a_good_ticket() {
    let m = Maker::new(&[6, 1, 30], &[6, 2, 17]);
    let ticket = m.check(&m.ticket(&Maker::list()));
    assert_eq!((ticket.state, ticket.problem.as_deref()), (ClaimState::Valid, None));
    assert_eq!(ticket.time, Some(NOW));
    assert_eq!(ticket.digests, [[0xaa; 20], [0xbb; 20]]);
    assert!(ticket.names(&[0xaa; 20]) && ticket.names(&[0xbb; 32]) && !ticket.names(&[0xcc; 20]));
    assert!(!ticket.names(&[0xaa; 19]));
    let signer = ticket.signer.unwrap();
    assert_eq!((signer.kind, signer.team_id), (LeafKind::Other, None));
}

#[test]
fn who_may_not_sign_tickets() {
    for (signer, authority) in [(&[6, 1, 14][..], &[6, 2, 17][..]), (&[6, 1, 30], &[6, 2, 6])] {
        let m = Maker::new(signer, authority);
        let ticket = m.check(&m.ticket(&Maker::list()));
        assert_eq!(ticket.state, ClaimState::Untrusted);
        assert!(ticket.problem.unwrap().contains("not for notarization tickets"));
    }
    // Four certificates.
    let mut m = Maker::new(&[6, 1, 30], &[6, 2, 17]);
    let extensions = [ca_extensions(None), vec![mark(&[6, 2, 17], false)]].concat();
    let between = entity("between", Some(&m.authority), &long(), &extensions);
    let extensions = [digital_signature(), mark(&[6, 1, 30], false)];
    m.signer = entity("tickets", Some(&between), &around_now(), &extensions);
    m.authority.der = [between.der, m.authority.der].concat();
    let ticket = m.check(&m.ticket(&Maker::list()));
    assert_eq!(ticket.state, ClaimState::Untrusted);
    assert_eq!(ticket.signer.unwrap().chain.len(), 4);
    let (m, other) = (Maker::new(&[6, 1, 30], &[6, 2, 17]), Maker::new(&[6, 1, 30], &[6, 2, 17]));
    assert_eq!(m.check(&other.ticket(&Maker::list())).state, ClaimState::Untrusted);
}

#[test]
fn broken_tickets() {
    let m = Maker::new(&[6, 1, 30], &[6, 2, 17]);
    let good = m.ticket(&Maker::list());
    for len in 0..good.len() {
        let ticket = m.check(&good[..len]);
        let whole = good[len..].iter().all(|b| *b == 0);
        assert_eq!(ticket.state == ClaimState::Valid, whole, "{len} bytes");
    }
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert_ne!(m.check(&changed).state, ClaimState::Valid, "byte {at}");
    }
    let changed = |at: usize, byte: u8| {
        let mut list = Maker::list();
        list[at] = byte;
        let ticket = m.check(&m.ticket(&list));
        (ticket.state, ticket.problem.unwrap_or_default())
    };
    assert_eq!(changed(0, b'x').0, ClaimState::Unsupported);
    assert_eq!(changed(4, 3).0, ClaimState::Unsupported);
    assert_eq!(changed(6, 32).0, ClaimState::Unsupported);
    assert!(changed(8, 3).1.contains("does not hold 3 digests"));
    assert!(changed(11, 0xff).1.contains("does not hold"));
    let mut version = good.clone();
    version[4] = 2;
    assert_eq!(m.check(&version).state, ClaimState::Unsupported);
    for size in [8, 12] {
        let mut huge = good.clone();
        huge[size..size + 4].fill(0xff);
        assert!(m.check(&huge).problem.unwrap().contains("ends too early"));
    }
    assert_eq!(m.check(b"").state, ClaimState::Unsupported);
}
