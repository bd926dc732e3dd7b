//! Encrypted images: golden bytes, shared fixtures, hostile headers.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    missing_docs
)]

mod common;

use std::sync::Arc;
use std::time::Instant;

use common::{Lcg, job, read_every_way, read_in_steps, source};
use mip_base::{Code, FileAt, Job, Result, Source};
use mip_disk::encrypted::{Encrypted, Lock, sniff};
use mip_testkit::crypt::{Encryption, Wrap, v2};
use mip_testkit::sha256;
use mip_testkit::shared::{expected, fixtures};

fn plain() -> Vec<u8> {
    (0..5000_u32).flat_map(u32::to_be_bytes).take(19_999).collect()
}

fn unlock(image: Vec<u8>, password: &str) -> Result<Source> {
    let job = Job::default();
    Encrypted::open(source(image), &job)?.unlock(password.as_bytes(), &job)
}

fn code<T>(result: Result<T>) -> Code {
    match result {
        Ok(_) => panic!("this must fail"),
        Err(e) => e.code(),
    }
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// The digests are those of a second writer, in Python with pycryptodome and hashlib.
#[test]
fn images_of_an_independent_writer_open() {
    let aes128 = Encryption { key_bits: 128, ..Encryption::new("secret") };
    let aes192 = Encryption { wrap: Wrap::Aes192, salt: 8, ..Encryption::new("secret") };
    let old = Encryption { block: 4096, ..aes128.clone() };
    let cases = [
        (
            Encryption::new("pässwörd").v2(&plain()),
            "pässwörd",
            "56bab4184e8059ac784a65bd81d36aa4dcc4cb117ab74e28512bf41ba8556a9d",
        ),
        (
            aes128.v2(&plain()),
            "secret",
            "a646307cf4884deca2893f860861fbcd1a11061c646229f6045d274d6831b10f",
        ),
        (
            aes192.v2(&plain()),
            "secret",
            "6e2c772b9fb6cf92a99ee6c62a544705bf21a924a1d3b233b63ec45aa2e3a0a6",
        ),
        (
            old.v1(&plain()),
            "secret",
            "5a2afe6932c7a8d7ed1cb0df5c4c7fc3422e09557ce686b0ba0c81344e2afb0f",
        ),
        (
            Encryption::new("secret").v1(&plain()),
            "secret",
            "aa085ea1bec48e0ebceb4fa6247b0f36128d7c16deb8c979aa29c32a0c6da617",
        ),
    ];
    for (image, password, golden) in cases {
        assert_eq!(sha256(&image), golden);
        assert!(sniff(&image[..8], &image[image.len() - 8..]));
        let disk = unlock(image.clone(), password).unwrap();
        assert!(read_every_way(&disk) == plain());
        for wrong in ["", "Secret", "secret ", "pa\u{308}sswo\u{308}rd", "secret\n"] {
            assert_eq!(code(unlock(image.clone(), wrong)), Code::Password, "{wrong:?}");
        }
    }
}

#[test]
fn the_header_is_shown_without_a_password() {
    let recipe = Encryption { certificates: 1, ..Encryption::new("x") };
    let image = Encrypted::open(source(recipe.v2(&plain())), &Job::default()).unwrap();
    let info = image.info();
    assert_eq!((info.version, info.key_bits, info.block_size), (2, 256, 512));
    assert_eq!((info.data_size, info.iterations), (19_999, 1000));
    assert_eq!(info.locks, [Lock::Certificate, Lock::Password]);
    let old = Encryption { key_bits: 128, block: 4096, ..Encryption::new("x") }.v1(&plain());
    let image = Encrypted::open(source(old), &Job::default()).unwrap();
    let info = image.info();
    assert_eq!((info.version, info.key_bits, info.block_size), (1, 128, 4096));
}

#[test]
fn any_of_several_passwords_opens() {
    let mut recipe = Encryption::new("first");
    recipe.passwords.push("second".into());
    for password in ["first", "second"] {
        assert!(
            read_in_steps(&unlock(recipe.v2(&plain()), password).unwrap(), 4096).unwrap()
                == plain()
        );
    }
    assert_eq!(code(unlock(recipe.v2(&plain()), "third")), Code::Password);
}

#[test]
fn an_image_without_a_password_is_refused_by_name() {
    let recipe = Encryption { passwords: vec![], certificates: 2, ..Encryption::new("") };
    let e = unlock(recipe.v2(&plain()), "x").err().unwrap();
    assert_eq!(e.code(), Code::Unsupported);
    assert!(e.message().contains("only with a certificate"), "{e}");
    let job = Job::default();
    let check = |image| Encrypted::open(source(image), &job).unwrap().check(&job);
    assert_eq!(code(check(recipe.v2(&plain()))), Code::Unsupported);
    check(Encryption::new("x").v2(&plain())).unwrap();
    check(Encryption::new("x").v1(&plain())).unwrap();
    let mut image = recipe.v2(&plain());
    put(&mut image, v2::KEY_KIND, &3_u32.to_be_bytes());
    let e = unlock(image, "x").err().unwrap();
    assert!(e.message().contains("a key bag or a certificate"), "{e}");
    let none = Encryption { passwords: vec![], ..Encryption::new("") };
    assert_eq!(code(unlock(none.v2(&plain()), "x")), Code::Unsupported);
    let mut image = Encryption::new("x").v2(&plain());
    put(&mut image, v2::WRAP, &99_u32.to_be_bytes());
    let e = unlock(image, "x").err().unwrap();
    assert_eq!(e.code(), Code::Unsupported);
    assert!(e.message().contains("0x63"), "{e}");
}

#[test]
fn fixtures_decrypt_to_what_others_decrypt_them_to() {
    let Some(dir) = fixtures("encrypted") else { return };
    for name in [
        "dmg-encrypted/dmgwiz-aes256.dmg",
        "dmg-encrypted/sparkle-SparkleTestCodeSignApp.enc.nolicense.dmg",
        "synthetic/syn-enc-aes256.dmg",
    ] {
        let want = expected(&dir, name);
        let job = Job::default();
        let file = Arc::new(FileAt::open(&dir.join(name)).unwrap());
        let image = Encrypted::open(file, &job).unwrap();
        let disk = image.unlock(want["password"].as_str().unwrap().as_bytes(), &job).unwrap();
        let bytes = read_every_way(&disk);
        assert_eq!(sha256(&bytes), want["decrypted_sha256"].as_str().unwrap(), "{name}");
        assert_eq!(code(image.unlock(b"not this", &job)), Code::Password, "{name}");
    }
}

#[test]
fn b18_a_wrong_password_is_told_at_once() {
    let image = Encryption::new("right").v2(&plain());
    let start = Instant::now();
    for i in 0..300 {
        assert_eq!(code(unlock(image.clone(), &format!("wrong {i}"))), Code::Password);
    }
    mip_testkit::not_hanging(start);
    let old = Encryption::new("right").v1(&plain());
    for i in 0..300 {
        assert_eq!(code(unlock(old.clone(), &format!("wrong {i}"))), Code::Password);
    }
}

#[test]
fn b18_too_many_iterations_are_a_limit_before_they_are_done() {
    let start = Instant::now();
    for iterations in [u64::from(u32::MAX), 1 << 32, u64::MAX, 10_000_001] {
        let mut image = Encryption::new("x").v2(&plain());
        put(&mut image, v2::ITERATIONS, &iterations.to_be_bytes());
        let e = unlock(image, "x").err().unwrap();
        assert_eq!(e.code(), Code::Limit);
        assert_eq!(e.limit_and_value(), Some((10_000_000, iterations)));
    }
    for iterations in [u32::MAX, 1 << 31, 10_000_001] {
        let mut old = Encryption::new("x").v1(&plain());
        let at = old.len() - 0x4FC + 0x30;
        put(&mut old, at, &iterations.to_be_bytes());
        assert_eq!(code(unlock(old, "x")), Code::Limit);
    }
    // Several passwords share the limit.
    let mut recipe = Encryption { iterations: 600, ..Encryption::new("x") };
    recipe.passwords.push("y".into());
    let strict = job(|l| l.image_kdf_iterations = 1000);
    let image = Encrypted::open(source(recipe.v2(&plain())), &strict).unwrap();
    assert_eq!(code(image.unlock(b"x", &strict)), Code::Limit);
    mip_testkit::not_hanging(start);
    let mut none = Encryption::new("x").v2(&plain());
    put(&mut none, v2::ITERATIONS, &0_u64.to_be_bytes());
    assert_eq!(code(unlock(none, "x")), Code::DmgEncrypted);
}

#[test]
fn b18_lengths_out_of_bounds_break_the_format() {
    let cases = [
        (v2::BLOCK, vec![0, 1, 15, 16, 100, 511, 520, (1 << 20) + 512, 1 << 31, u32::MAX]),
        (v2::IV_BYTES, vec![0, 8, 20, 17, u32::MAX]),
        (v2::SALT_BYTES, vec![0, 33, 64, 1 << 31, u32::MAX]),
        (v2::WRAP_IV_BYTES, vec![0, 33, 1 << 31, u32::MAX]),
        (v2::BLOB_BYTES, vec![0, 1, 7, 47, 513, 520, 1 << 31, u32::MAX]),
        (v2::KEYS, vec![33, 1 << 31, u32::MAX]),
    ];
    for (field, values) in cases {
        for value in values {
            let mut image = Encryption::new("x").v2(&plain());
            put(&mut image, field, &value.to_be_bytes());
            assert_eq!(code(unlock(image, "x")), Code::DmgEncrypted, "{field:#x} = {value}");
        }
    }
    for (field, values) in [
        (v2::KEY_SIZE, vec![0, 0x67, 4097, u64::MAX]),
        (v2::KEY_AT, vec![1 << 20, u64::MAX, u64::MAX - 0x200]),
    ] {
        for value in values {
            let mut image = Encryption::new("x").v2(&plain());
            put(&mut image, field, &value.to_be_bytes());
            assert_eq!(code(unlock(image, "x")), Code::DmgEncrypted, "{field:#x} = {value}");
        }
    }
    for (field, value) in
        [(0x10, 0), (0x10, 1 << 31), (0x34, 33), (0x88, 0), (0x88, 257), (0x88, 41)]
    {
        let mut image = Encryption::new("x").v1(&plain());
        let at = image.len() - 0x4FC + field;
        put(&mut image, at, &u32::to_be_bytes(value));
        assert_eq!(code(unlock(image, "x")), Code::DmgEncrypted, "{field:#x} = {value}");
    }
    // D5: lengths that other readers took for granted.
    for salt in [1, 8, 20, 32] {
        let image = Encryption { salt, ..Encryption::new("x") }.v2(&plain());
        assert!(read_in_steps(&unlock(image, "x").unwrap(), 4096).unwrap() == plain());
    }
}

#[test]
fn b18_a_flipped_bit_of_the_data_is_never_a_wrong_password() {
    let mut random = Lcg(18);
    let image = Encryption::new("x").v2(&plain());
    for _ in 0..100 {
        let mut bad = image.clone();
        let at = 4096 + random.below(19_999);
        bad[at] ^= 1 << random.below(8);
        let bytes = read_in_steps(&unlock(bad, "x").unwrap(), 1 << 16).unwrap();
        assert!(bytes != plain());
        // Only the block of the flipped bit is hurt.
        let block = (at - 4096) / 512 * 512;
        assert!(bytes[..block] == plain()[..block]);
        assert!(bytes[(block + 512).min(19_999)..] == plain()[(block + 512).min(19_999)..]);
    }
}

#[test]
fn b18_a_damaged_key_block_is_a_wrong_password_to_everyone() {
    let mut image = Encryption::new("x").v2(&plain());
    image[v2::BLOB + 60] ^= 1;
    assert_eq!(code(unlock(image, "x")), Code::Password);
    // Keys that unwrap but have the wrong size prove the password right.
    let mut image = Encryption { key_bits: 128, ..Encryption::new("x") }.v2(&plain());
    put(&mut image, v2::KEY_BITS, &256_u32.to_be_bytes());
    assert_eq!(code(unlock(image, "x")), Code::DmgEncrypted);
}

#[test]
fn b18_damage_to_one_key_of_version_1_is_not_a_wrong_password() {
    let recipe = Encryption { key_bits: 128, ..Encryption::new("x") };
    let broken = |changes: &[(usize, u32)]| {
        let mut image = recipe.v1(&plain());
        for (field, value) in changes {
            let at = image.len() - 0x4FC + field;
            put(&mut image, at, &value.to_be_bytes());
        }
        image
    };
    // The size of the key, a piece of the AES key, a piece of the HMAC key.
    for change in [(0x64, 256), (0x88 + 12, 7), (0x1B4 + 12, 7)] {
        assert_eq!(code(unlock(broken(&[change]), "x")), Code::DmgEncrypted, "{change:x?}");
        assert_eq!(code(unlock(broken(&[change]), "y")), Code::Password, "{change:x?}");
    }
    // With both gone nobody can tell.
    let both = broken(&[(0x88 + 12, 7), (0x1B4 + 12, 7)]);
    assert_eq!(code(unlock(both, "x")), Code::Password);
}

#[test]
fn a_cut_image_is_truncated_before_a_password_is_asked_for() {
    let image = Encryption::new("x").v2(&plain());
    let job = Job::default();
    // The last block may be stored up to its last 16 bytes that hold data.
    let enough = 4096 + 20_000;
    for len in [8, 11, 12, 75, 76, 95, 4095, 4096, 5000, enough - 1] {
        let e = Encrypted::open(source(&image[..len]), &job).err().unwrap();
        assert!(matches!(e.code(), Code::Truncated | Code::DmgEncrypted), "{len}: {e:?}");
    }
    let disk = unlock(image[..enough].to_vec(), "x").unwrap();
    assert!(read_every_way(&disk) == plain());
    for size in [21_000, 1 << 40, u64::MAX] {
        let mut bad = image.clone();
        put(&mut bad, v2::DATA_SIZE, &size.to_be_bytes());
        let code = code(Encrypted::open(source(bad), &job));
        assert!(matches!(code, Code::Truncated | Code::Unsupported), "{size}: {code:?}");
    }
    let mut bad = image.clone();
    put(&mut bad, v2::DATA_AT, &u64::MAX.to_be_bytes());
    assert_eq!(code(Encrypted::open(source(bad), &job)), Code::Truncated);
    for len in [0, 7] {
        assert!(Encrypted::open(source(&image[..len]), &job).is_err());
    }
    let old = Encryption::new("x").v1(&plain());
    assert_eq!(code(Encrypted::open(source(&old[19_456..]), &job)), Code::Truncated);
}

#[test]
fn versions_and_algorithms_that_are_not_known_are_named() {
    for (field, value) in
        [(v2::VERSION, 3), (0x10, 6), (0x14, 17), (v2::KEY_BITS, 192), (0x1C, 92), (0x20, 256)]
    {
        let mut image = Encryption::new("x").v2(&plain());
        put(&mut image, field, &u32::to_be_bytes(value));
        assert_eq!(code(unlock(image, "x")), Code::Unsupported, "{field:#x}");
    }
}

#[test]
fn b19_an_encrypted_image_in_an_encrypted_image_opens_layer_by_layer() {
    let inner = Encryption::new("inner").v2(&plain());
    let outer = Encryption { key_bits: 128, ..Encryption::new("outer") }.v1(&inner);
    let job = Job::default();
    let layer = unlock(outer, "outer").unwrap();
    let disk = Encrypted::open(layer, &job).unwrap().unlock(b"inner", &job).unwrap();
    assert!(read_in_steps(&disk, 777).unwrap() == plain());
}

#[test]
fn many_threads_read_the_same_bytes() {
    let disk = unlock(Encryption::new("x").v2(&plain()), "x").unwrap();
    std::thread::scope(|scope| {
        for step in [1_usize, 3, 513, 20_000] {
            let disk = &disk;
            scope.spawn(move || assert!(read_in_steps(disk, step).unwrap() == plain()));
        }
    });
}

#[test]
fn mutated_headers_never_panic() {
    let mut random = Lcg(7);
    for round in 0..4000 {
        let recipe = Encryption { iterations: 1, ..Encryption::new("x") };
        let (mut image, header) = if round % 2 == 0 {
            (recipe.v2(&plain()), (0, 0x4A8))
        } else {
            (recipe.v1(&plain()), (20_480, 0x4FC))
        };
        for _ in 0..=random.below(3) {
            let at = header.0 + random.below(header.1);
            image[at] = [0, 1, 0x7F, 0x80, 0xFF, image[at] ^ 1][random.below(6)];
        }
        let job = job(|l| l.image_kdf_iterations = 1000);
        if let Ok(image) = Encrypted::open(source(image), &job)
            && let Ok(disk) = image.unlock(b"x", &job)
        {
            let _ = read_in_steps(&disk, 4096);
        }
    }
}

/// `cargo test --release -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let plain = vec![0x5A; 256 << 20];
    for bits in [128, 256] {
        let disk =
            unlock(Encryption { key_bits: bits, ..Encryption::new("x") }.v2(&plain), "x").unwrap();
        let mut buf = vec![0; 1 << 20];
        let start = Instant::now();
        for at in (0..plain.len() as u64).step_by(1 << 20) {
            mip_base::read_full_at(&disk, at, &mut buf, Code::Truncated).unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("AES-{bits}: {:.0} MB/s", plain.len() as f64 / 1e6 / seconds);
    }
}
