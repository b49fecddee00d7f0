package org.rmcdr.sample;

import jakarta.annotation.Resource;
import jakarta.inject.Inject;
import jakarta.servlet.annotation.WebServlet;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/** Files of the applications: 201 stored now, 200 was stored already, 409 the UUID has other content. */
@WebServlet("/api/attachments/*")
public class AttachmentsServlet extends HttpServlet {
    private static final long LIMIT_BYTES = 64L * 1024 * 1024;

    @Resource(name = "attachments")
    private String folder;

    @Inject
    private Database database;

    private final Set<UUID> inFlight = ConcurrentHashMap.newKeySet();

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        try {
            Optional<UUID> id = Api.id(request);
            Optional<Attachment> known = id.isPresent() ? database.attachment(id.get()) : Optional.empty();
            if (known.isEmpty()) {
                Api.error(response, 404, "no such attachment");
                return;
            }
            Path file = Path.of(folder, known.get().id().toString());
            if (!Files.isRegularFile(file)) {
                Api.error(response, 500, "the attachment's file is missing");
                return;
            }
            response.setContentType("application/octet-stream");
            response.setContentLengthLong(Files.size(file));
            response.setHeader("X-Sha256", known.get().sha256());
            Files.copy(file, response.getOutputStream());
        } catch (SQLException down) {
            Api.unavailable(response);
        }
    }

    @Override
    protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
        Optional<UUID> id = Api.id(request);
        if (id.isEmpty()) {
            Api.error(response, 400, "the path must end in a UUID");
        } else if (request.getContentLengthLong() > LIMIT_BYTES) {
            Api.error(response, 413, "at most 64 MiB");
        } else if (!inFlight.add(id.get())) {
            Api.unavailable(response);
        } else {
            try {
                store(id.get(), request, response);
            } catch (SQLException down) {
                Api.unavailable(response);
            } finally {
                inFlight.remove(id.get());
            }
        }
    }

    /** The row follows the file, so that a row never points at nothing. */
    private void store(UUID id, HttpServletRequest request, HttpServletResponse response)
            throws IOException, SQLException {
        try (Upload upload = Upload.receive(Path.of(folder), id, request.getInputStream(), LIMIT_BYTES)) {
            Optional<Attachment> known = database.attachment(id);
            if (known.isPresent()) {
                boolean same = known.get().sha256().equals(upload.attachment().sha256());
                Api.send(response, same ? 200 : 409, known.get());
                return;
            }
            upload.keep();
            Attachment stored = upload.attachment();
            database.insert(
                    "insert into attachments (id, sha256, size_bytes) values (?, ?, ?) on conflict (id) do nothing",
                    stored.id(), stored.sha256(), stored.sizeBytes());
            Api.send(response, 201, stored);
        } catch (Upload.TooLarge tooLarge) {
            Api.error(response, 413, "at most 64 MiB");
        }
    }
}
