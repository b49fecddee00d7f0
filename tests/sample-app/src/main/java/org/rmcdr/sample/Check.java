package org.rmcdr.sample;

import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Objects;
import java.util.UUID;

/** One witnessed check of a gamete or an embryo. */
public record Check(UUID id, String subject, String specimen, String step, String witness) {
    static Check read(ResultSet row) throws SQLException {
        return new Check(
                row.getObject("id", UUID.class),
                row.getString("subject"),
                row.getString("specimen"),
                row.getString("step"),
                row.getString("witness"));
    }

    boolean complete() {
        return id != null
                && ("gamete".equals(subject) || "embryo".equals(subject))
                && Objects.nonNull(specimen)
                && Objects.nonNull(step)
                && Objects.nonNull(witness);
    }
}
