package org.rmcdr.sample;

import jakarta.inject.Inject;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.annotation.WebFilter;
import jakarta.servlet.http.HttpFilter;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.sql.SQLException;

/** Records are for those who logged in. */
@WebFilter({"/api/patients/*", "/api/checks/*", "/api/attachments/*"})
public class TokenFilter extends HttpFilter {
    private static final String BEARER = "Bearer ";

    @Inject
    private Tokens tokens;

    @Override
    protected void doFilter(HttpServletRequest request, HttpServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        String header = request.getHeader("Authorization");
        boolean valid;
        try {
            valid = header != null && header.startsWith(BEARER) && tokens.valid(header.substring(BEARER.length()));
        } catch (SQLException down) {
            Api.unavailable(response);
            return;
        } catch (GeneralSecurityException broken) {
            throw new ServletException(broken);
        }
        if (valid) {
            chain.doFilter(request, response);
        } else {
            Api.error(response, 401, "log in first");
        }
    }
}
