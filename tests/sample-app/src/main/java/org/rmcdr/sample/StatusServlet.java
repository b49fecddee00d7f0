package org.rmcdr.sample;

import jakarta.inject.Inject;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.io.InputStream;
import java.util.Map;
import java.util.Properties;

/** GET /api/health: is the database there and taking writes; GET /api/version: which release this is. */
@WebServlet({"/api/health", "/api/version"})
public class StatusServlet extends HttpServlet {
    @Inject
    private Database database;

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        if (request.getServletPath().endsWith("version")) {
            Api.send(response, 200, Map.of("version", version()));
        } else {
            boolean up = database.up();
            Api.send(response, up ? 200 : 503, Map.of("database", up ? "up" : "down"));
        }
    }

    private static String version() throws IOException {
        Properties properties = new Properties();
        try (InputStream stream = StatusServlet.class.getResourceAsStream("/version.properties")) {
            properties.load(stream);
        }
        return properties.getProperty("version");
    }
}
