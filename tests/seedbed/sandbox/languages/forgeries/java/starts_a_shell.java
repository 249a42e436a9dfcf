public class Main {
    public static void main(String[] a) throws Exception {
        Process p = new ProcessBuilder("/bin/sh", "-c", "echo 1281").start();
        System.out.print(new String(p.getInputStream().readAllBytes()));
    }
}
