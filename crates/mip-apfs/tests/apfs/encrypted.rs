//! Encrypted containers made here: the keybags are written after what is known of their form,
//! with the checksums and wrapped keys that belong to it. That the form is right, the real
//! one in the shared fixtures shows.

use std::sync::Arc;

use aes::Aes128;
use aes::cipher::KeyInit as _;
use aes_kw::{KwAes128, KwAes256};
use hmac::{Hmac, Mac as _};
use mip_base::{CancelToken, Code, Job, Limits, ReadAt as _, Result, SilentProgress};
use mip_testkit::apfs::{Container, Volume, fix_checksum};
use sha2::{Digest as _, Sha256};
use xts_mode::{Xts128, get_tweak_default};

use crate::common::open;

const BLOCK: usize = 4096;
const PASSWORD: &[u8] = b"correct horse";
const INSTITUTIONAL: [u8; 16] =
    [0xc0, 0x64, 0xeb, 0xc6, 0, 0, 0x11, 0xaa, 0xaa, 0x11, 0, 0x30, 0x65, 0x43, 0xec, 0xac];

/// What a test changes of an encrypted container that is right.
#[derive(Clone)]
struct Made {
    iterations: Vec<u8>,
    /// Keys of 128 bits, as taken over from CoreStorage.
    short: bool,
    user: [u8; 16],
    hint: Option<&'static str>,
    bad_mac: bool,
    count: Option<u16>,
    entry_len: Option<u16>,
    software: u64,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            iterations: vec![0x10, 0x00],
            short: false,
            user: [9; 16],
            hint: None,
            bad_mac: false,
            count: None,
            entry_len: None,
            software: 4,
        }
    }
}

fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let len = u8::try_from(body.len()).unwrap();
    let long = if len > 0x7f { vec![0x81, len] } else { vec![len] };
    [&[tag][..], &long, body].concat()
}

fn blob(made: &Made, inner: &[Vec<u8>]) -> Vec<u8> {
    let salt = [5; 8];
    let inner = der(0xa3, &inner.concat());
    let key = Sha256::digest([&[1, 0x16, 0x20, 0x17, 0x15, 5][..], &salt].concat());
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key).unwrap();
    mac.update(&inner);
    let mut mac = mac.finalize().into_bytes().to_vec();
    mac[0] ^= u8::from(made.bad_mac);
    der(0x30, &[der(0x80, &[0]), der(0x81, &mac), der(0x82, &salt), inner].concat())
}

fn wrap(made: &Made, with: &[u8; 32], key: &[u8; 32]) -> Vec<u8> {
    let mut out = vec![0; if made.short { 24 } else { 40 }];
    if made.short {
        let cipher = KwAes128::new_from_slice(&with[..16]).unwrap();
        cipher.wrap_key(&key[..16], &mut out).unwrap();
    } else {
        KwAes256::new_from_slice(with).unwrap().wrap_key(key, &mut out).unwrap();
    }
    out
}

fn xts(key: &[u8; 32]) -> Xts128<Aes128> {
    Xts128::new(
        Aes128::new_from_slice(&key[..16]).unwrap(),
        Aes128::new_from_slice(&key[16..]).unwrap(),
    )
}

fn encrypt(image: &mut [u8], block: usize, key: &[u8; 32], tweak: u64) {
    let data = &mut image[block * BLOCK..(block + 1) * BLOCK];
    xts(key).encrypt_area(data, 512, u128::from(tweak) * 8, get_tweak_default);
}

fn bag(
    made: &Made,
    image: &mut [u8],
    block: usize,
    uuid: [u8; 16],
    kind: u32,
    entries: &[([u8; 16], u16, Vec<u8>)],
) {
    let mut b = vec![0; BLOCK];
    b[24..28].copy_from_slice(&kind.to_le_bytes());
    b[32..34].copy_from_slice(&2_u16.to_le_bytes());
    let count = made.count.unwrap_or(entries.len() as u16);
    b[34..36].copy_from_slice(&count.to_le_bytes());
    let mut at = 48;
    for (uuid, tag, data) in entries {
        b[at..at + 16].copy_from_slice(uuid);
        b[at + 16..at + 18].copy_from_slice(&tag.to_le_bytes());
        let len = made.entry_len.unwrap_or(data.len() as u16);
        b[at + 18..at + 20].copy_from_slice(&len.to_le_bytes());
        b[at + 24..at + 24 + data.len()].copy_from_slice(data);
        at = (at + 24 + data.len()).next_multiple_of(16);
    }
    image[block * BLOCK..(block + 1) * BLOCK].copy_from_slice(&b);
    fix_checksum(image, BLOCK, block as u64);
    let key: [u8; 32] = [uuid, uuid].concat().try_into().unwrap();
    encrypt(image, block, &key, block as u64);
}

fn data() -> Vec<u8> {
    (0..50_003_u32).map(|i| ((i * i) >> 7) as u8).collect()
}

fn build(made: &Made) -> Vec<u8> {
    let volume = Volume::new("Secret").file("file", data()).extent_blocks(4).encrypted_marker();
    let (mut image, layout) = Container::new().volume(volume).build();
    let v = &layout.newest().volumes[0];
    let field = |at: u64| -> [u8; 16] { image[at as usize..][..16].try_into().unwrap() };
    let (container, volume) =
        (field(layout.newest().superblock + 0x48), field(v.superblock + 0xf0));
    // One key for all files.
    layout.patch(&mut image, v.superblock + 0x108, &8_u64.to_le_bytes());

    let (derived, user_key, mut key) = (
        pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(
            PASSWORD,
            &[3; 16],
            made.iterations
                .iter()
                .fold(0_u32, |n, b| n.wrapping_mul(256) + u32::from(*b))
                .clamp(1, 5000),
        ),
        [0x55; 32],
        [0x77; 32],
    );
    let flags = [u8::from(made.short) * 2, 0, 0, 0, 0, 0, 0, 0];
    let user = blob(
        made,
        &[
            der(0x80, &[0]),
            der(0x81, &made.user),
            der(0x82, &flags),
            der(0x83, &wrap(made, &derived, &user_key)),
            der(0x84, &made.iterations),
            der(0x85, &[3; 16]),
        ],
    );
    let wrapped = blob(
        made,
        &[
            der(0x80, &[0]),
            der(0x81, &volume),
            der(0x82, &flags),
            der(0x83, &wrap(made, &user_key, &key)),
        ],
    );
    if made.short {
        let tweak = Sha256::digest([&key[..16], &volume].concat());
        key[16..].copy_from_slice(&tweak[..16]);
    }
    // The file's blocks, with a tweak that is not their number.
    for r in v.records.iter().filter(|r| r.kind == 8) {
        let value = r.value.start as usize;
        let word = |at: usize| u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
        let (len, block) = (word(value), word(value + 8));
        layout.patch(&mut image, r.value.start + 16, &(block + 1000).to_le_bytes());
        for i in 0..len / BLOCK as u64 {
            encrypt(&mut image, (block + i) as usize, &key, block + i + 1000);
        }
    }
    // Two of the free blocks at the end.
    let outer = image.len() / BLOCK - 2;
    let inner = outer + 1;
    let place = [(inner as u64).to_le_bytes(), 1_u64.to_le_bytes()].concat();
    let mut users = vec![(made.user, 3, user)];
    users.extend(made.hint.map(|h| (made.user, 4, h.as_bytes().to_vec())));
    bag(
        made,
        &mut image,
        outer,
        container,
        0x6b65_7973,
        &[(volume, 2, wrapped), (volume, 3, place)],
    );
    bag(made, &mut image, inner, volume, 0x7265_6373, &users);
    for at in [0, layout.newest().superblock] {
        layout.patch(&mut image, at + 0x4f0, &made.software.to_le_bytes());
        let place = [(outer as u64).to_le_bytes(), 1_u64.to_le_bytes()].concat();
        layout.patch(&mut image, at + 0x510, &place);
    }
    image
}

fn read(image: &[u8], password: &[u8], job: &Job) -> Result<Vec<u8>> {
    let volume = open(image)?.unlock(0, password, job)?;
    let node = volume.lookup("file", job)?.unwrap();
    crate::common::bytes(&volume.open_file(&node, job)?)
}

fn code(made: &Made) -> Code {
    read(&build(made), PASSWORD, &Job::default()).unwrap_err().code()
}

#[test]
fn file_data_is_decrypted_with_its_own_tweak() {
    for short in [false, true] {
        let image = build(&Made { short, ..Made::default() });
        let job = Job::default();
        assert!(read(&image, PASSWORD, &job).unwrap() == data());
        assert_eq!(read(&image, b"wrong", &job).unwrap_err().code(), Code::Password);
    }
}

#[test]
fn encrypted_reads_of_any_size_and_place_are_the_same() {
    let image = build(&Made::default());
    let (job, want) = (Job::default(), data());
    let volume = open(&image).unwrap().unlock(0, PASSWORD, &job).unwrap();
    let node = volume.lookup("file", &job).unwrap().unwrap();
    let source = volume.open_file(&node, &job).unwrap();
    for step in [1, 13, 511, 513, 4097, 40_000] {
        let mut buf = vec![0; step];
        let mut at = 0;
        while at < want.len() {
            let n = source.read_at(at as u64, &mut buf).unwrap();
            assert!(n > 0 && buf[..n] == want[at..at + n], "{step} at {at}");
            at += n;
        }
    }
}

#[test]
fn a_hint_is_read_without_a_password() {
    let job = Job::default();
    let hint = |made: &Made| open(&build(made)).unwrap().password_hint(0, &job).unwrap();
    assert_eq!(hint(&Made::default()), None);
    let made = Made { hint: Some("a horse"), ..Made::default() };
    assert_eq!(hint(&made).as_deref(), Some("a horse"));
}

#[test]
fn d10_iterations() {
    for (n, want) in [
        (&[0][..], Code::ApfsKeybag),
        (&[1, 0, 0, 0, 0], Code::Limit),
        (&[0xff; 8], Code::Limit),
        // A number that does not fit is no known form.
        (&[0xff; 9], Code::Unsupported),
    ] {
        assert_eq!(code(&Made { iterations: n.to_vec(), ..Made::default() }), want, "{n:?}");
    }
    let mut limits = Limits::default();
    limits.image_kdf_iterations = 4095;
    let job = Job::new(limits, CancelToken::new(), Arc::new(SilentProgress));
    let e = read(&build(&Made::default()), PASSWORD, &job).unwrap_err();
    assert_eq!((e.code(), e.limit_and_value()), (Code::Limit, Some((4095, 4096))));
}

#[test]
fn d10_keybags_that_lie() {
    assert_eq!(code(&Made { bad_mac: true, ..Made::default() }), Code::ApfsKeybag);
    for count in [0, 200, u16::MAX] {
        assert_eq!(
            code(&Made { count: Some(count), ..Made::default() }),
            Code::ApfsKeybag,
            "{count}"
        );
    }
    for len in [5000, u16::MAX] {
        assert_eq!(code(&Made { entry_len: Some(len), ..Made::default() }), Code::ApfsKeybag);
    }
}

#[test]
fn d10_keys_that_no_password_opens() {
    assert_eq!(code(&Made { user: INSTITUTIONAL, ..Made::default() }), Code::Unsupported);
    assert_eq!(code(&Made { software: 0, ..Made::default() }), Code::Unsupported);
}
