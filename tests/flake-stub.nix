# Evaluates flake.nix with a stand-in for nixpkgs, so that a mistake in it shows without a network and without a store:
#
#   nix-instantiate --eval --strict tests/flake-stub.nix
#
# It shows that every output evaluates and what goes into it, not that nixpkgs builds it.
let
  flake = import ../flake.nix;

  lib = {
    genAttrs =
      names: make:
      builtins.listToAttrs (
        map (name: {
          inherit name;
          value = make name;
        }) names
      );
    makeSearchPathOutput =
      _: folder: packages:
      builtins.concatStringsSep ":" (map (package: "/nix/store/${package}/${folder}") packages);
    licenses.asl20 = "Apache-2.0";
    platforms.linux = [ "x86_64-linux" "aarch64-linux" ];
  };

  # Every package that the flake may name; a name that is not here is an error, as it would be in nixpkgs.
  packages =
    lib.genAttrs
      [ "pkg-config" "makeWrapper" "cargo" "rustc" "rustfmt" "clippy" "ffmpeg" "openssl" "strace" "nodejs" "shellcheck" ]
      (name: name);

  packagesFor =
    system:
    packages
    // {
      inherit lib;
      stdenv.hostPlatform = { inherit system; };
      gst_all_1 =
        lib.genAttrs
          [ "gstreamer" "gst-plugins-base" "gst-plugins-good" "gst-plugins-bad" "gst-plugins-ugly" "gst-libav" "gst-rtsp-server" ]
          (name: name);
      rustPlatform.buildRustPackage = arguments: arguments;
      mkShell = arguments: arguments;
    };

  nixpkgs = {
    inherit lib;
    legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] packagesFor;
  };

  outputs = flake.outputs {
    self = { outPath = toString ../.; } // outputs;
    inherit nixpkgs;
  };

  built = outputs.packages.x86_64-linux.default // { src = "the repository"; };
  check = outputs.checks.aarch64-linux.tests // { src = "the repository"; };
  shell = outputs.devShells.x86_64-linux.default;
in
assert built.pname == "camkeep" && built.cargoLock.lockFile == ../Cargo.lock;
assert check.doCheck && !built.doCheck;
assert builtins.match ".*gst-plugins-bad/lib/gstreamer-1.0.*" shell.GST_PLUGIN_SYSTEM_PATH_1_0 != null;
assert (builtins.head shell.inputsFrom).pname == "camkeep";
builtins.deepSeq [ built check shell.packages ] "${built.pname} ${built.version}: every output evaluates"
