import jakarta.annotation.Resource;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import javax.sql.DataSource;

/** What goes wrong inside an application, on demand: its query says what. For the lab's tests alone. */
@WebServlet("/*")
public class Fault extends HttpServlet {
    private static final Object ONE = new Object();
    private static final Object OTHER = new Object();
    private static final AtomicInteger COUNT = new AtomicInteger();
    private static final CountDownLatch BOTH = new CountDownLatch(2);
    private static final CountDownLatch HELD = new CountDownLatch(1);
    private static final List<byte[]> KEPT = new ArrayList<>();

    @Resource(name = "jdbc/app")
    private transient DataSource source;

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        try {
            switch (String.valueOf(request.getQueryString())) {
                case "hold" -> hold();
                case "deadlock" -> deadlock();
                case "stuck" -> stuck();
                case "wait" -> TimeUnit.HOURS.sleep(12); // for an answer that does not come; it holds no lock
                case "oom" -> exhaust();
                default -> response.getWriter().println("here");
            }
        } catch (SQLException | InterruptedException failed) {
            response.sendError(500, failed.getMessage());
        }
    }

    /** Takes a connection out of the pool, begins a transaction, and forgets both. */
    private void hold() throws SQLException, InterruptedException {
        try (Connection connection = source.getConnection(); Statement statement = connection.createStatement()) {
            connection.setAutoCommit(false);
            statement.execute("select 1");
            TimeUnit.HOURS.sleep(12);
        }
    }

    /** The first two wait for each other, and everybody after them for the first. */
    private void deadlock() throws InterruptedException {
        boolean second = COUNT.getAndIncrement() == 1;
        synchronized (second ? OTHER : ONE) {
            BOTH.countDown();
            BOTH.await();
            synchronized (second ? ONE : OTHER) {
                COUNT.get();
            }
        }
    }

    /** Waits for a lock that a thread of nobody's holds for good. */
    private void stuck() throws InterruptedException {
        if (COUNT.getAndIncrement() == 0) {
            Thread holder = new Thread(() -> {
                synchronized (ONE) {
                    HELD.countDown();
                    while (true) {
                        LockSupport.park();
                    }
                }
            }, "holder");
            holder.setDaemon(true);
            holder.start();
        }
        HELD.await();
        synchronized (ONE) {
            COUNT.get();
        }
    }

    private void exhaust() {
        while (true) {
            KEPT.add(new byte[8 * 1024 * 1024]);
        }
    }
}
