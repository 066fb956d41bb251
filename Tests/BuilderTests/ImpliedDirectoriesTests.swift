import Layers
import SystemIO
import SystemPackage
import TestSupport
import Testing

@testable import Builder

/// Folders that a layer only implies, in a stack of trees.
@Suite(.enabled(if: isRoot, "owners of files are root's to give"))
struct ImpliedDirectoriesTests {
    @Test("an implied folder has what the topmost layer says that describes it, wherever in the stack that is")
    func repair() throws {
        let folder = try ScratchFolder()
        try folder.run(
            """
            umask 022; mkdir -p low/usr/bin low/opt mid/usr/include mid/opt top/usr/bin
            chmod 750 low/opt; chown 5:6 low/opt low/usr/bin; chmod 711 low/usr; touch -d @7 low/opt low/usr
            setfattr -n user.k -v v low/opt; setfattr -n user.k -v top top/usr/bin; chmod 700 top/usr/bin
            """)
        func tree(_ name: FilePath, implied: [String]) throws -> TreeStore.Tree {
            TreeStore.Tree(
                name: name, root: try folder.directory.openDirectory(name, .noSymlinks),
                implied: implied.map { ImagePath(trusting: Array($0.utf8)) }, hidesAllBelow: false,
                dependsOnLower: false)
        }
        let trees = [
            try tree("low", implied: []), try tree("mid", implied: ["usr", "usr/include", "opt"]),
            try tree("top", implied: ["usr"]),
        ]
        let scratch = try StateDirectory(opening: folder.path.appending("state")).makeScratch()
        let made = try #require(try ImpliedDirectories.repair(trees, in: scratch))
        let listing = try folder.run(
            "cd \(made.path); find . -mindepth 1 -printf '%P %m %U:%G\\n' | sort; stat -c %Y opt usr; getfattr --only-values -n user.k opt"
        )
        #expect(listing == "opt 750 5:6\nusr 711 0:0\nusr/include 755 0:0\n7\n7\nv")
        try scratch.remove()
    }
}
