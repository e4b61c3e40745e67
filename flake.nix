{
  description = "camkeep: an edge video recorder that knows exactly what it has and what it lost";

  # The compiler must be at least as new as rust-version in Cargo.toml.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      manifest = (builtins.fromTOML (builtins.readFile ./Cargo.toml)).package;

      forEachSystem =
        make:
        nixpkgs.lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: make nixpkgs.legacyPackages.${system});

      # The same as in assets/packages.sh: parsers, muxers, RTSP and, for the demo cameras, encoders.
      gstreamer =
        pkgs: with pkgs.gst_all_1; [
          pkgs.gst_all_1.gstreamer
          gst-plugins-base
          gst-plugins-good
          gst-plugins-bad
          gst-plugins-ugly
          gst-libav
          gst-rtsp-server
        ];

      pluginPath = pkgs: nixpkgs.lib.makeSearchPathOutput "lib" "lib/gstreamer-1.0" (gstreamer pkgs);

      build =
        pkgs: more:
        pkgs.rustPlatform.buildRustPackage (
          {
            pname = manifest.name;
            version = manifest.version;
            src = self;
            cargoLock.lockFile = ./Cargo.lock;
            buildFeatures = [ "demo-camera" ];

            nativeBuildInputs = [
              pkgs.pkg-config
              pkgs.makeWrapper
            ];
            buildInputs = gstreamer pkgs;
            # Tests are the check's business (below): whoever installs the package need not wait for them.
            doCheck = false;

            # A program in the store finds no plugins by itself.
            postInstall = ''
              wrapProgram $out/bin/${manifest.name} --prefix GST_PLUGIN_SYSTEM_PATH_1_0 : "${pluginPath pkgs}"
            '';

            meta = {
              description = manifest.description;
              license = pkgs.lib.licenses.asl20;
              mainProgram = manifest.name;
              platforms = pkgs.lib.platforms.linux;
            };
          }
          // more
        );
    in
    {
      packages = forEachSystem (pkgs: {
        default = build pkgs { };
      });

      # What needs neither ptrace nor a person's patience; ./tests/run in the dev shell runs everything.
      checks = forEachSystem (pkgs: {
        package = build pkgs { };
        tests = build pkgs {
          pname = "${manifest.name}-tests";
          doCheck = true;
          checkFeatures = [ "demo-camera" ];
          cargoTestFlags = [
            "--lib"
            "--bins"
            "--test"
            "house"
            "--test"
            "documents"
          ];
          nativeCheckInputs = [
            pkgs.rustfmt
            pkgs.clippy
          ];
          GST_PLUGIN_SYSTEM_PATH_1_0 = pluginPath pkgs;
          preCheck = ''
            export HOME=$TMPDIR
            cargo fmt --check
            cargo clippy --offline --all-targets --features demo-camera -- -D warnings
          '';
        };
      });

      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ self.packages.${pkgs.stdenv.hostPlatform.system}.default ];
          packages = [
            pkgs.cargo
            pkgs.rustc
            pkgs.rustfmt
            pkgs.clippy
            pkgs.ffmpeg
            pkgs.openssl
            pkgs.strace
            pkgs.nodejs
            pkgs.shellcheck
          ];
          GST_PLUGIN_SYSTEM_PATH_1_0 = pluginPath pkgs;
        };
      });
    };
}
