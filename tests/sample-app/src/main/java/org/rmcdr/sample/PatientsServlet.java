package org.rmcdr.sample;

import jakarta.inject.Inject;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.sql.SQLException;
import java.util.UUID;

/** GET: the patients, by code. */
@WebServlet("/api/patients")
public class PatientsServlet extends HttpServlet {
    /** One patient, by pseudonymous code. */
    public record Patient(UUID id, String code) {}

    @Inject
    private Database database;

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        try {
            Api.send(
                    response,
                    200,
                    database.list(
                            "select id, code from patients order by code limit 100",
                            row -> new Patient(row.getObject(1, UUID.class), row.getString(2))));
        } catch (SQLException down) {
            Api.unavailable(response);
        }
    }
}
