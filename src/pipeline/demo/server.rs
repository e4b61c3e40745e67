//! The RTSP server of one demo camera: its thread, its listening socket, its login, its clients.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use gstreamer_rtsp_server as gst_rtsp_server;
use gstreamer_rtsp_server::gst_rtsp::{RTSPAuthMethod, RTSPUrl};
use gstreamer_rtsp_server::prelude::*;
use gstreamer_rtsp_server::{RTSPFilterResult, RTSPServer, gio, glib};

use crate::runtime::spawn_thread;

use super::options::{CameraOptions, DemoError, Login};
use super::storage::Storage;
use super::stream::{Stream, lock};

/// The one role there is; whoever knows the password has it.
const ROLE: &str = "viewer";
/// How long a client is kept after it has gone. When the server fails to send it a packet, it has its main loop close it in
/// a moment, and does not see to it that the client is still there by then.
const AFTER_CLOSING: Duration = Duration::from_secs(1);
/// How long the thread of the camera may take for anything that is asked of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What clients did so far.
#[derive(Default)]
pub(super) struct Visits {
    pub(super) connections_now: AtomicU64,
    pub(super) connections_ever: AtomicU64,
    pub(super) sessions_ever: AtomicU64,
    pub(super) requests: Mutex<Vec<String>>,
}

/// Who listens.
enum Listener {
    /// A socket, and what makes the server look at it.
    Own { socket: gio::Socket, source: glib::Source },
    /// The storage, which shares the port.
    Storage,
}

/// A server on a thread of its own, with a main context of its own: nothing here touches the default one, which
/// belongs to whoever uses this library.
pub(super) struct Server {
    server: RTSPServer,
    pool: gst_rtsp_server::RTSPSessionPool,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    thread: Option<JoinHandle<()>>,
    listener: Mutex<Option<Listener>>,
    address: String,
    port: u16,
    storage: Option<Arc<Storage>>,
    pub(super) visits: Arc<Visits>,
}

impl Server {
    pub(super) fn start(
        options: &CameraOptions,
        streams: &[Arc<Stream>],
        storage: Option<Arc<Storage>>,
    ) -> Result<Self, DemoError> {
        let server = RTSPServer::new();
        let pool = gst_rtsp_server::RTSPSessionPool::new();
        server.set_session_pool(Some(&pool));
        // Clients are served on our own thread, which ends with the camera; a pool's threads would not.
        let threads = gst_rtsp_server::RTSPThreadPool::new();
        threads.set_max_threads(0);
        server.set_thread_pool(Some(&threads));
        let mounts = gst_rtsp_server::RTSPMountPoints::new();
        for stream in streams {
            let factory = stream.factory();
            let role = gst_rtsp_server::gst::Structure::builder(ROLE)
                .field(gst_rtsp_server::RTSP_PERM_MEDIA_FACTORY_ACCESS.as_str(), true)
                .field(gst_rtsp_server::RTSP_PERM_MEDIA_FACTORY_CONSTRUCT.as_str(), true)
                .build();
            factory.add_role_from_structure(&role);
            mounts.add_factory(&stream.options().path, factory);
        }
        server.set_mount_points(Some(&mounts));
        let visits = Arc::new(Visits::default());
        let context = glib::MainContext::new();
        watch_clients(&server, &visits, streams, &context);
        let main_loop = glib::MainLoop::new(Some(&context), false);
        pool.create_watch(Some("demo-sessions"), glib::Priority::DEFAULT, |pool| {
            pool.cleanup();
            glib::ControlFlow::Continue
        })
        .attach(Some(&context));
        let mut started = Self {
            server,
            pool,
            context,
            main_loop,
            thread: None,
            listener: Mutex::new(None),
            address: options.address.clone(),
            port: options.port,
            storage,
            visits,
        };
        if let Some(storage) = &started.storage {
            let pool = started.pool.clone();
            storage.count_watchers_with(move || pool.n_sessions().into());
        }
        started.set_login(options.login.as_ref())?;
        started.port = started.listen()?;
        started.run()?;
        Ok(started)
    }

    fn run(&mut self) -> Result<(), DemoError> {
        let (context, main_loop) = (self.context.clone(), self.main_loop.clone());
        let (tell, running) = mpsc::channel();
        glib::idle_source_new(Some("demo-started"), glib::Priority::DEFAULT, move || {
            tell.send(()).ok();
            glib::ControlFlow::Break
        })
        .attach(Some(&self.context));
        let thread = spawn_thread(&format!("demo-{}", self.port), move || {
            if context.with_thread_default(|| main_loop.run()).is_err() {
                tracing::error!("the demo camera's main context belongs to another thread");
            }
        });
        self.thread = thread.ok();
        running
            .recv_timeout(PATIENCE)
            .map_err(|_| DemoError::Late("start its thread"))
    }

    /// Listens, on the port it had before when it had one, and tells the port.
    pub(super) fn listen(&self) -> Result<u16, DemoError> {
        let mut listener = lock(&self.listener);
        if listener.is_some() {
            return Ok(self.port);
        }
        let refused = |reason: String| DemoError::Listen {
            address: self.address.clone(),
            port: self.port,
            reason,
        };
        if let Some(storage) = &self.storage {
            let port = self
                .listen_by_storage(storage)
                .map_err(|error| refused(error.to_string()))?;
            storage.listen_again()?;
            *listener = Some(Listener::Storage);
            return Ok(port);
        }
        self.server.set_address(&self.address);
        self.server.set_service(&self.port.to_string());
        let socket = self
            .server
            .create_socket(gio::Cancellable::NONE)
            .map_err(|error| refused(error.message().to_owned()))?;
        let bound = socket.local_address().ok().and_downcast::<gio::InetSocketAddress>();
        let port = bound
            .map(|address| address.port())
            .ok_or_else(|| refused("the socket has no port".into()))?;
        let server = self.server.downgrade();
        let source = SocketExtManual::create_source(
            &socket,
            glib::IOCondition::IN,
            gio::Cancellable::NONE,
            Some("demo-listener"),
            glib::Priority::DEFAULT,
            move |socket, condition| {
                let Some(server) = server.upgrade() else {
                    return glib::ControlFlow::Break;
                };
                if RTSPServer::io_func(socket, condition, &server).is_err() {
                    tracing::debug!("the demo camera lost a client before it was served");
                }
                glib::ControlFlow::Continue
            },
        );
        source.attach(Some(&self.context));
        *listener = Some(Listener::Own { socket, source });
        Ok(port)
    }

    /// Has the storage listen, and serves those whom it hands on.
    fn listen_by_storage(&self, storage: &Storage) -> std::io::Result<u16> {
        let (server, context) = (self.server.downgrade(), self.context.clone());
        storage.listen_rtsp(&self.address, self.port, move |socket| {
            let server = server.clone();
            context.invoke(move || {
                let handed_on = socket.peer_addr().is_ok_and(|peer| {
                    let socket = gio::Socket::from_fd(socket.into());
                    let both = server.upgrade().zip(socket.ok());
                    both.is_some_and(|(server, socket)| {
                        let (host, port) = (peer.ip().to_string(), peer.port().into());
                        server.transfer_connection(socket, &host, port, None).is_ok()
                    })
                });
                if !handed_on {
                    tracing::debug!("the demo camera lost a client before it was served");
                }
            });
        })
    }

    /// Gives the port back: whoever knocks now is refused by the system.
    pub(super) fn stop_listening(&self) {
        let listener = lock(&self.listener).take();
        if let Some(Listener::Storage) = listener {
            self.storage.iter().for_each(|storage| storage.stop_listening());
        } else if let Some(Listener::Own { socket, source }) = listener {
            source.destroy();
            // A thread that still waits for the socket keeps it open, whoever closes it.
            if self.thread.is_some()
                && let Err(error) = self.ask("stop listening", |_, _| {})
            {
                tracing::debug!(%error, "the demo camera's socket may live on for a moment");
            }
            if let Err(error) = socket.close() {
                tracing::debug!(%error, "the demo camera's socket did not close");
            }
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn sessions_now(&self) -> u64 {
        self.pool.n_sessions().into()
    }

    /// Asks for this login from now on, of those who are connected too.
    pub(super) fn set_login(&self, login: Option<&Login>) -> Result<(), DemoError> {
        let auth = login.map(|login| {
            let auth = gst_rtsp_server::RTSPAuth::new();
            auth.set_supported_methods(RTSPAuthMethod::Digest);
            auth.set_realm(Some("camkeep demo camera"));
            let token = gst_rtsp_server::RTSPToken::builder()
                .field(gst_rtsp_server::RTSP_TOKEN_MEDIA_FACTORY_ROLE.as_str(), ROLE)
                .build();
            auth.add_digest(&login.user, &login.password, &token);
            auth
        });
        self.server.set_auth(auth.as_ref());
        self.storage.iter().for_each(|storage| storage.set_login(login));
        if self.thread.is_none() {
            return Ok(());
        }
        self.ask("change its password", move |server, _| {
            server.client_filter(Some(&mut |_, client| {
                client.set_auth(auth.as_ref());
                RTSPFilterResult::Keep
            }));
        })
    }

    pub(super) fn allow_sessions(&self, most: u32) {
        self.pool.set_max_sessions(most);
    }

    /// Closes every TCP connection and forgets every session.
    pub(super) fn drop_clients(&self) -> Result<(), DemoError> {
        self.storage.iter().for_each(|storage| storage.drop_clients());
        self.drop_viewers()
    }

    /// Closes every TCP connection of the live view and forgets every session of it.
    pub(super) fn drop_viewers(&self) -> Result<(), DemoError> {
        self.ask("drop its clients", |server, pool| {
            server.client_filter(Some(&mut |_, _| RTSPFilterResult::Remove));
            pool.filter(Some(&mut |_, _| RTSPFilterResult::Remove));
        })
    }

    /// Does something on the thread of the camera and waits for it.
    fn ask(
        &self,
        what: &'static str,
        action: impl FnOnce(&RTSPServer, &gst_rtsp_server::RTSPSessionPool) + Send + 'static,
    ) -> Result<(), DemoError> {
        let (server, pool) = (self.server.clone(), self.pool.clone());
        let (tell, done) = mpsc::channel();
        self.context.invoke(move || {
            action(&server, &pool);
            tell.send(()).ok();
        });
        done.recv_timeout(PATIENCE).map_err(|_| DemoError::Late(what))
    }

    /// Ends everything, in order; the thread is gone afterwards.
    pub(super) fn stop(&mut self, streams: &[Arc<Stream>]) {
        self.stop_listening();
        if self.thread.is_some() {
            if let Err(error) = self.drop_clients() {
                tracing::warn!(%error, "the demo camera ends without its clients' farewell");
            }
            for stream in streams {
                if !stream.wait_idle(PATIENCE) {
                    tracing::warn!(
                        path = stream.options().path,
                        "a pipeline of the demo camera did not end in time"
                    );
                }
            }
        }
        self.main_loop.quit();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the demo camera broke");
        }
        self.storage.iter().for_each(|storage| storage.end());
        streams.iter().for_each(|stream| stream.end());
    }
}

fn watch_clients(server: &RTSPServer, visits: &Arc<Visits>, streams: &[Arc<Stream>], context: &glib::MainContext) {
    let (visits, streams, context) = (visits.clone(), streams.to_vec(), context.clone());
    server.connect_client_connected(move |_, client| {
        visits.connections_ever.fetch_add(1, Ordering::SeqCst);
        visits.connections_now.fetch_add(1, Ordering::SeqCst);
        // A slow client waits; throwing its packets away in silence would look like a recorder's fault.
        client.set_drop_backlog(false);
        let (on_close, context) = (visits.clone(), context.clone());
        client.connect_closed(move |client| {
            on_close.connections_now.fetch_sub(1, Ordering::SeqCst);
            keep_for_a_moment(client, &context);
        });
        let on_session = visits.clone();
        client.connect_new_session(move |_, _| {
            on_session.sessions_ever.fetch_add(1, Ordering::SeqCst);
        });
        let note = |verb: &'static str| {
            let visits = visits.clone();
            move |_: &gst_rtsp_server::RTSPClient, context: &gst_rtsp_server::RTSPContext| {
                let path = context.uri().map(path_of).unwrap_or_default();
                lock(&visits.requests).push(format!("{verb} {path}"));
            }
        };
        client.connect_options_request(note("OPTIONS"));
        client.connect_describe_request(note("DESCRIBE"));
        client.connect_setup_request(note("SETUP"));
        client.connect_play_request(note("PLAY"));
        client.connect_pause_request(note("PAUSE"));
        client.connect_teardown_request(note("TEARDOWN"));
        client.connect_get_parameter_request(note("GET_PARAMETER"));
        client.connect_set_parameter_request(note("SET_PARAMETER"));
        let streams = streams.clone();
        client.connect_play_request(move |_, context| {
            let path = context.uri().map(path_of).unwrap_or_default();
            streams
                .iter()
                .filter(|stream| path.starts_with(&stream.options().path))
                .for_each(|stream| stream.play());
        });
    });
}

/// Keeps a client that has gone until nothing of the server's can want it any more.
fn keep_for_a_moment(client: &gst_rtsp_server::RTSPClient, context: &glib::MainContext) {
    let kept = client.clone();
    // Of a lower priority than what the server left for later, so that it comes after it however late both are.
    glib::timeout_source_new(AFTER_CLOSING, Some("demo-gone"), glib::Priority::LOW, move || {
        // Its socket would stay half open until the last of it is gone.
        kept.close();
        glib::ControlFlow::Break
    })
    .attach(Some(context));
}

fn path_of(url: &RTSPUrl) -> String {
    url.decode_path_components()
        .iter()
        .filter(|part| !part.is_empty())
        .map(|part| format!("/{part}"))
        .collect()
}
