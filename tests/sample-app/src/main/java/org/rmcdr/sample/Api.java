package org.rmcdr.sample;

import jakarta.json.bind.Jsonb;
import jakarta.json.bind.JsonbBuilder;
import jakarta.json.bind.JsonbException;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;

/** JSON in and out, shared by the servlets. */
final class Api {
    private static final Jsonb JSON = JsonbBuilder.create();

    private Api() {}

    static void send(HttpServletResponse response, int status, Object body) throws IOException {
        response.setStatus(status);
        response.setContentType("application/json");
        response.setCharacterEncoding("UTF-8");
        response.getWriter().write(JSON.toJson(body));
    }

    static void error(HttpServletResponse response, int status, String message) throws IOException {
        send(response, status, Map.of("error", message));
    }

    /** Nothing was acknowledged: the client may send the same record with the same UUID again. */
    static void unavailable(HttpServletResponse response) throws IOException {
        response.setHeader("Retry-After", "1");
        error(response, 503, "database unavailable");
    }

    static <T> Optional<T> read(HttpServletRequest request, Class<T> type) throws IOException {
        try {
            return Optional.ofNullable(JSON.fromJson(request.getInputStream(), type));
        } catch (JsonbException notThatShape) {
            return Optional.empty();
        }
    }

    /** The UUID at the end of the path, if there is one. */
    static Optional<UUID> id(HttpServletRequest request) {
        String path = request.getPathInfo();
        try {
            return path == null ? Optional.empty() : Optional.of(UUID.fromString(path.substring(1)));
        } catch (IllegalArgumentException notAUuid) {
            return Optional.empty();
        }
    }
}
