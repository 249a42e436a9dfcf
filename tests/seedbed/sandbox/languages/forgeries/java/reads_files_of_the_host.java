import java.nio.file.*;
public class Main {
    public static void main(String[] a) throws Exception {
        for (String path : new String[] {"/etc/passwd", "/proc/self/environ", "/proc/1/cmdline"})
            try { System.out.print(Files.readString(Path.of(path))); } catch (Exception e) { }
        try (var files = Files.walk(Path.of("/box"))) { files.forEach(System.out::println); }
    }
}
