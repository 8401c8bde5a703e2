//! Sockets before and beside what the standard library offers: options, source address, and the three ways to read.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::Failure;

/// Longest name of a network interface, without the zero at its end.
const INTERFACE_BYTES_MAX: usize = libc::IFNAMSIZ - 1;

/// How a connection's socket is set up. What cannot be set is reported and does no harm, except the source address and
/// the interface: with those the connection fails, because traffic must not leave by another way than asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Send small writes at once (`TCP_NODELAY`). On by default.
    pub no_delay: bool,
    /// Acknowledge at once (`TCP_QUICKACK`); the kernel forgets it, so it is a hint. Off by default.
    pub quick_ack: bool,
    /// Receive buffer in bytes (`SO_RCVBUF`); the kernel doubles it and stops its own tuning.
    pub recv_buffer_bytes: Option<u32>,
    /// Send buffer in bytes (`SO_SNDBUF`); the kernel doubles it.
    pub send_buffer_bytes: Option<u32>,
    /// Poll the network card this long in a read that finds nothing, in microseconds (`SO_BUSY_POLL`).
    pub busy_poll_us: Option<u32>,
    /// Prefer busy polling over interrupts (`SO_PREFER_BUSY_POLL`). Both take effect only where a read finds the socket
    /// empty and may wait; a loop over `epoll_wait` with no timeout never does.
    pub prefer_busy_poll: bool,
    /// Note that this connection's packets are expected on that CPU (`SO_INCOMING_CPU`). It chooses among listening
    /// sockets; it moves no packets of a client's connection, which is the business of the card's queues.
    pub incoming_cpu: Option<u32>,
    /// Give up when data we sent is not acknowledged for so long, in milliseconds (`TCP_USER_TIMEOUT`).
    pub user_timeout_ms: Option<u32>,
    /// Report writable only while less than this is unsent, in bytes (`TCP_NOTSENT_LOWAT`).
    pub not_sent_low_water_bytes: Option<u32>,
    /// Priority of the packets on this machine, 0 to 6 without privileges (`SO_PRIORITY`).
    pub priority: Option<u32>,
    /// Let the kernel probe an idle connection after so many seconds (`SO_KEEPALIVE`, `TCP_KEEPIDLE`).
    pub keep_alive_s: Option<u32>,
    /// Have the kernel stamp what arrives (`SO_TIMESTAMPING`); see [`recv_stamped`]. A connection sets it by its read mode.
    pub receive_stamps: bool,
    /// Connect from this address of ours.
    pub source: Option<IpAddr>,
    /// Connect through this network interface (`SO_BINDTODEVICE`).
    pub interface: Option<String>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            no_delay: true,
            quick_ack: false,
            recv_buffer_bytes: None,
            send_buffer_bytes: None,
            busy_poll_us: None,
            prefer_busy_poll: false,
            incoming_cpu: None,
            user_timeout_ms: None,
            not_sent_low_water_bytes: None,
            priority: None,
            keep_alive_s: None,
            receive_stamps: false,
            source: None,
            interface: None,
        }
    }
}

/// Begins to connect without waiting. The stream is not connected yet when this returns.
///
/// Options that could not be set are in the second value.
///
/// # Errors
/// When no socket can be had, the source address or interface cannot be used, or the kernel refuses at once.
pub fn connect(addr: SocketAddr, options: &SocketOptions) -> io::Result<(TcpStream, Vec<Failure>)> {
    let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers are passed; a negative result is checked before it is used.
    let fd = unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened, is valid, and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    if let Some(interface) = &options.interface {
        bind_interface(fd, interface)?;
    }
    if let Some(source) = options.source {
        let (storage, len) = raw_address(SocketAddr::new(source, 0));
        // SAFETY: `storage` is a valid socket address of `len` bytes for the time of the call.
        if unsafe { libc::bind(fd, (&raw const storage).cast(), len) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    let failures = apply(fd, options);
    let (storage, len) = raw_address(addr);
    // SAFETY: as for `bind`.
    if unsafe { libc::connect(fd, (&raw const storage).cast(), len) } != 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINPROGRESS) {
            return Err(error);
        }
    }
    Ok((TcpStream::from(socket), failures))
}

/// Sets every option that is asked for, and says which could not be set.
fn apply(fd: RawFd, options: &SocketOptions) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut set = |level, name, value: Option<u32>, what, advice| {
        let Some(value) = value else { return };
        if let Err(error) = set_option(fd, level, name, value) {
            failures.push(Failure { what, error: error.kind(), advice });
        }
    };
    let on = |flag: bool| flag.then_some(1);
    let tcp = libc::IPPROTO_TCP;
    let socket = libc::SOL_SOCKET;
    set(tcp, libc::TCP_NODELAY, on(options.no_delay), "TCP_NODELAY", "");
    set(tcp, libc::TCP_QUICKACK, on(options.quick_ack), "TCP_QUICKACK", "");
    set(socket, libc::SO_RCVBUF, options.recv_buffer_bytes, "SO_RCVBUF", "raise sysctl net.core.rmem_max");
    set(socket, libc::SO_SNDBUF, options.send_buffer_bytes, "SO_SNDBUF", "raise sysctl net.core.wmem_max");
    set(
        socket,
        libc::SO_BUSY_POLL,
        options.busy_poll_us,
        "SO_BUSY_POLL",
        "more than sysctl net.core.busy_read needs CAP_NET_ADMIN; raise that, or run `setcap cap_net_admin+ep`",
    );
    set(
        socket,
        libc::SO_PREFER_BUSY_POLL,
        on(options.prefer_busy_poll),
        "SO_PREFER_BUSY_POLL",
        "needs CAP_NET_ADMIN and Linux 5.11",
    );
    set(socket, libc::SO_INCOMING_CPU, options.incoming_cpu, "SO_INCOMING_CPU", "");
    set(tcp, libc::TCP_USER_TIMEOUT, options.user_timeout_ms, "TCP_USER_TIMEOUT", "");
    set(tcp, libc::TCP_NOTSENT_LOWAT, options.not_sent_low_water_bytes, "TCP_NOTSENT_LOWAT", "");
    set(socket, libc::SO_PRIORITY, options.priority, "SO_PRIORITY", "more than 6 needs CAP_NET_ADMIN");
    set(socket, libc::SO_KEEPALIVE, on(options.keep_alive_s.is_some()), "SO_KEEPALIVE", "");
    set(tcp, libc::TCP_KEEPIDLE, options.keep_alive_s, "TCP_KEEPIDLE", "from 1 to 32767 s");
    let stamps = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    set(socket, libc::SO_TIMESTAMPING, options.receive_stamps.then_some(stamps), "SO_TIMESTAMPING", "");
    failures
}

/// Asks once more for immediate acknowledgement, which the kernel forgets.
pub fn quick_ack(socket: &impl AsRawFd) -> io::Result<()> {
    set_option(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_QUICKACK, 1)
}

/// Reads once and returns the bytes read and the kernel's receive stamp, in nanoseconds since 1970.
///
/// The stamp is that of the last segment read. There is none when the socket was not set up with
/// [`SocketOptions::receive_stamps`], and for what arrives in the first moments after the first socket of the machine was,
/// because the kernel begins to stamp with a delay. Costs about 180 ns more than a plain read.
pub fn recv_stamped(socket: &impl AsRawFd, into: &mut [u8]) -> io::Result<(usize, Option<i64>)> {
    // Room for two control messages of three timespecs each; the kernel cuts what does not fit.
    let mut control = [0_u64; 32];
    let mut iov = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: all-zero bytes are a valid `msghdr`.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut iov;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    // SAFETY: `header` points to `iov`, `into` and `control`, which all outlive the call and have the lengths given.
    let n = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    if n < 0 {
        return Err(io::Error::last_os_error());
    }
    let mut stamp = None;
    // SAFETY: `header` was filled in by `recvmsg`; the CMSG macros stay within `msg_controllen` bytes of `control`,
    // which is aligned for `cmsghdr` and still alive.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while !message.is_null() {
            let head = &*message;
            let payload_len = (head.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            if head.cmsg_level == libc::SOL_SOCKET
                && head.cmsg_type == libc::SCM_TIMESTAMPING
                && payload_len >= size_of::<libc::timespec>()
            {
                // The first of three is the software stamp.
                let time = libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned();
                if time.tv_sec != 0 {
                    stamp = Some(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec));
                }
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    Ok((n as usize, stamp))
}

/// Reads without taking, so that the kernel does not acknowledge yet; [`take`] does both.
pub fn peek(socket: &impl AsRawFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and length are those of `into`, which is exclusively ours during the call.
    let n = unsafe { libc::recv(socket.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), libc::MSG_PEEK) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}

/// Takes up to `n` bytes that were read by [`peek`] before, without copying them; says how many it took.
pub fn take(socket: &impl AsRawFd, n: usize) -> io::Result<usize> {
    // SAFETY: with MSG_TRUNC the kernel drops TCP data and does not touch the buffer, which may then be null (tcp(7)).
    let taken = unsafe { libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), n, libc::MSG_TRUNC) };
    if taken < 0 { Err(io::Error::last_os_error()) } else { Ok(taken as usize) }
}

fn bind_interface(fd: RawFd, interface: &str) -> io::Result<()> {
    if interface.is_empty() || interface.len() > INTERFACE_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the pointer and length are those of `interface`; the kernel copies it.
    let result = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            interface.as_ptr().cast(),
            interface.len() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_option(fd: RawFd, level: libc::c_int, name: libc::c_int, value: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX);
    // SAFETY: the kernel reads one `int` from the pointer during the call.
    let result = unsafe {
        libc::setsockopt(fd, level, name, (&raw const value).cast(), size_of::<libc::c_int>() as libc::socklen_t)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn raw_address(addr: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero bytes are a valid `sockaddr_storage`.
    let mut storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
    let len = match addr {
        SocketAddr::V4(addr) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: addr.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(addr.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: `sockaddr_storage` is large enough and aligned for every socket address.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(raw) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(addr) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: addr.port().to_be(),
                sin6_flowinfo: addr.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: addr.ip().octets() },
                sin6_scope_id: addr.scope_id(),
            };
            // SAFETY: as above.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(raw) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, len as libc::socklen_t)
}

/// How a network card merges interrupts on receiving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coalescing {
    /// How long an interrupt may be held back, in microseconds.
    pub rx_us: u32,
    /// Whether the card changes that by itself.
    pub adaptive: bool,
}

/// Asks how the network card of that name merges interrupts.
///
/// # Errors
/// When there is no such device, or its driver does not tell.
pub fn coalescing(device: &str) -> io::Result<Coalescing> {
    /// `ETHTOOL_GCOALESCE` of linux/ethtool.h.
    const GET_COALESCE: u32 = 0x0000_000e;
    /// `struct ethtool_coalesce`: 23 numbers of 32 bits, of which we use the command, `rx_coalesce_usecs` and
    /// `use_adaptive_rx_coalesce`.
    const WORDS: usize = 23;
    if device.is_empty() || device.len() > INTERFACE_BYTES_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: no pointers are passed; a negative result is checked before it is used.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened, is valid, and nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut words = [0_u32; WORDS];
    words[0] = GET_COALESCE;
    // SAFETY: all-zero bytes are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    for (to, from) in request.ifr_name.iter_mut().zip(device.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    // SAFETY: `request` names the device and points to `words`, which has the size of the structure that the kernel reads
    // and writes for this command; both outlive the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Coalescing { rx_us: words[1], adaptive: words[10] != 0 })
}
