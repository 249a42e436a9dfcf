public class Main {
    public static void main(String[] a) {
        for (int i = 0; i < 3000; i++) {
            Thread t = new Thread(() -> { try { Thread.sleep(100000); } catch (Exception e) { } });
            t.setDaemon(true);
            t.start();
        }
        System.out.println(1281);
    }
}
