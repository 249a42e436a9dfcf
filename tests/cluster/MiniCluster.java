import java.io.BufferedReader;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.DelegateToFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.RawLocalFileSystem;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;

/**
 * HDFS with two data nodes and YARN with two node managers, in one process on loopback.
 *
 * <p>Started with a folder as its argument. The folder's conf/ becomes a HADOOP_CONF_DIR. A line
 * "READY" on standard output says that all nodes are up. Standard input takes commands: "lose N"
 * takes node manager N and data node N away. The cluster ends when standard input does, so that it
 * never outlives the test that started it.
 */
public class MiniCluster {
    private static final int NODES = 2;
    /** Room for two executors of Spark, so that three containers never share a node. */
    private static final int NODE_MEGABYTES = 3072;

    public static void main(String[] arguments) throws Exception {
        File base = new File(arguments[0]).getAbsoluteFile();
        System.setProperty("test.build.data", new File(base, "yarn").getPath());
        Configuration settings = settings(base);
        MiniDFSCluster hdfs =
                new MiniDFSCluster.Builder(settings, new File(base, "dfs"))
                        .numDataNodes(NODES)
                        .build();
        hdfs.waitActive();
        settings.set("fs.defaultFS", hdfs.getFileSystem().getUri().toString());
        MiniYARNCluster yarn = new MiniYARNCluster("mini", 1, NODES, 1, 1);
        yarn.init(settings);
        yarn.start();
        yarn.waitForNodeManagersToConnect(60_000);
        writeClientSettings(new File(base, "conf"), yarn.getConfig());
        System.out.println("READY " + settings.get("fs.defaultFS"));
        obey(hdfs, yarn);
        // Neither cluster is stopped in good order: nothing of it is kept.
        System.exit(0);
    }

    private static void obey(MiniDFSCluster hdfs, MiniYARNCluster yarn) throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.trim().split(" ");
            if (words.length == 2 && words[0].equals("lose")) {
                int node = Integer.parseInt(words[1]);
                hdfs.stopDataNode(node);
                yarn.getNodeManager(node).stop();
                System.out.println("LOST " + node);
            } else {
                System.out.println("UNKNOWN " + line);
            }
        }
    }

    private static Configuration settings(File base) {
        Configuration settings = new YarnConfiguration();
        settings.setClassLoader(MiniCluster.class.getClassLoader());
        Map<String, String> values =
                Map.ofEntries(
                        Map.entry("hadoop.tmp.dir", base + "/tmp"),
                        Map.entry("dfs.replication", "2"),
                        Map.entry("dfs.permissions.enabled", "false"),
                        // Containers are judged by the work they do, not by their address space.
                        Map.entry("yarn.nodemanager.vmem-check-enabled", "false"),
                        Map.entry("yarn.nodemanager.pmem-check-enabled", "false"),
                        // A node that is silent for half a minute is lost. The defaults of ten
                        // minutes would keep both masters giving work to it.
                        Map.entry("yarn.nm.liveness-monitor.expiry-interval-ms", "30000"),
                        Map.entry("dfs.heartbeat.interval", "1"),
                        Map.entry("dfs.namenode.heartbeat.recheck-interval", "5000"),
                        Map.entry("fs.AbstractFileSystem.file.impl", LocalFiles.class.getName()),
                        // A full disk of the test machine must not take the nodes away.
                        Map.entry(
                                "yarn.nodemanager.disk-health-checker"
                                        + ".max-disk-utilization-per-disk-percentage",
                                "99"),
                        Map.entry("yarn.scheduler.capacity.root.queues", "default"),
                        Map.entry("yarn.scheduler.capacity.root.default.capacity", "100"),
                        Map.entry("yarn.scheduler.capacity.maximum-am-resource-percent", "0.9"),
                        Map.entry("yarn.scheduler.minimum-allocation-mb", "256"),
                        Map.entry(
                                "yarn.minicluster.yarn.nodemanager.resource.memory-mb",
                                String.valueOf(NODE_MEGABYTES)),
                        Map.entry("yarn.nodemanager.resource.cpu-vcores", "2"),
                        // Logs and folders of containers stay, for whoever looks for a fault.
                        Map.entry("yarn.nodemanager.delete.debug-delay-sec", "600"),
                        Map.entry("yarn.minicluster.fixed.ports", "false"),
                        Map.entry("yarn.nodemanager.bind-host", "127.0.0.1"),
                        Map.entry("yarn.resourcemanager.bind-host", "127.0.0.1"));
        values.forEach(settings::set);
        return settings;
    }

    /** A client gets these keys alone: a full dump would override the addresses it looks up. */
    private static void writeClientSettings(File folder, Configuration all) throws Exception {
        folder.mkdirs();
        write(new File(folder, "core-site.xml"), all, "fs.defaultFS");
        write(new File(folder, "hdfs-site.xml"), all, "dfs.replication");
        write(
                new File(folder, "yarn-site.xml"),
                all,
                "yarn.resourcemanager.address",
                "yarn.resourcemanager.scheduler.address",
                "yarn.resourcemanager.resource-tracker.address",
                "yarn.resourcemanager.admin.address",
                "yarn.resourcemanager.webapp.address",
                "yarn.scheduler.minimum-allocation-mb");
    }

    private static void write(File file, Configuration all, String... keys) throws Exception {
        Configuration some = new Configuration(false);
        for (String key : keys) {
            some.set(key, all.get(key));
        }
        try (OutputStream out = new FileOutputStream(file)) {
            some.writeXml(out);
        }
    }

    /**
     * The local disks. Without Hadoop's native library, which Maven does not have, it would start a
     * process for the mode of every file of an unpacked archive: 19,000 of them on each node.
     */
    public static class LocalFiles extends DelegateToFileSystem {
        public LocalFiles(URI uri, Configuration settings) throws Exception {
            super(uri, new Disks(), settings, "file", false);
        }

        @Override
        public int getUriDefaultPort() {
            return -1;
        }

        @Override
        public boolean isValidName(String name) {
            return true;
        }

        private static class Disks extends RawLocalFileSystem {
            @Override
            public void setPermission(Path path, FsPermission mode) throws IOException {
                short bits = (short) (mode.toShort() & 0777);
                String letters = FsPermission.createImmutable(bits).toString();
                Files.setPosixFilePermissions(
                        pathToFile(path).toPath(), PosixFilePermissions.fromString(letters));
            }
        }
    }
}
