package org.rmcdr.sample;

import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.UUID;

/** What the database knows of a file on the data partition. */
public record Attachment(UUID id, String sha256, long sizeBytes) {
    static Attachment read(ResultSet row) throws SQLException {
        return new Attachment(
                row.getObject("id", UUID.class), row.getString("sha256"), row.getLong("size_bytes"));
    }
}
