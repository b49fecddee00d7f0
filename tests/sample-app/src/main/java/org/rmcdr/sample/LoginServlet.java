package org.rmcdr.sample;

import jakarta.inject.Inject;
import jakarta.servlet.ServletException;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.sql.SQLException;
import java.util.Map;

/** POST {"user", "password"} -> {"token"}. */
@WebServlet("/api/login")
public class LoginServlet extends HttpServlet {
    /** What the client sends. */
    public record Credentials(String user, String password) {}

    @Inject
    private Tokens tokens;

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response)
            throws IOException, ServletException {
        Credentials given = Api.read(request, Credentials.class).orElse(new Credentials(null, null));
        try {
            if (given.user() == null || given.password() == null) {
                Api.error(response, 400, "user and password are needed");
            } else if (tokens.passwordMatches(given.user(), given.password())) {
                Api.send(response, 200, Map.of("token", tokens.issue(given.user())));
            } else {
                Api.error(response, 401, "unknown user or wrong password");
            }
        } catch (SQLException down) {
            Api.unavailable(response);
        } catch (GeneralSecurityException broken) {
            throw new ServletException(broken);
        }
    }
}
