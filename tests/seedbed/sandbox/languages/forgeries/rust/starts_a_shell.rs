fn main() {
    let out = std::process::Command::new("/bin/sh").args(["-c", "echo 1281"]).output().unwrap();
    print!("{}", String::from_utf8_lossy(&out.stdout));
}
