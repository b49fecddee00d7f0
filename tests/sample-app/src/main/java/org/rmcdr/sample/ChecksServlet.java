package org.rmcdr.sample;

import jakarta.inject.Inject;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.sql.SQLException;
import java.util.Optional;

/**
 * Witness checks. The client makes the UUID, so that sending one again after a broken answer is safe:
 * 201 stored now, 200 was stored already, 409 the UUID belongs to a different check.
 */
@WebServlet({"/api/checks", "/api/checks/*"})
public class ChecksServlet extends HttpServlet {
    @Inject
    private Database database;

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        try {
            if (request.getPathInfo() == null) {
                Api.send(
                        response,
                        200,
                        database.list("select * from checks order by created_at desc limit 100", Check::read));
                return;
            }
            Optional<Check> check = Api.id(request).isPresent()
                    ? database.check(Api.id(request).get())
                    : Optional.empty();
            if (check.isPresent()) {
                Api.send(response, 200, check.get());
            } else {
                Api.error(response, 404, "no such check");
            }
        } catch (SQLException down) {
            Api.unavailable(response);
        }
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
        Optional<Check> read = Api.read(request, Check.class).filter(Check::complete);
        if (read.isEmpty()) {
            Api.error(response, 400, "id, subject (gamete or embryo), specimen, step and witness are needed");
            return;
        }
        Check check = read.get();
        try {
            boolean stored = database.insert(
                    "insert into checks (id, subject, specimen, step, witness) values (?, ?, ?, ?, ?)"
                            + " on conflict (id) do nothing",
                    check.id(), check.subject(), check.specimen(), check.step(), check.witness());
            if (stored) {
                Api.send(response, 201, check);
            } else if (database.check(check.id()).filter(check::equals).isPresent()) {
                Api.send(response, 200, check);
            } else {
                Api.error(response, 409, "this id belongs to a different check");
            }
        } catch (SQLException down) {
            Api.unavailable(response);
        }
    }
}
