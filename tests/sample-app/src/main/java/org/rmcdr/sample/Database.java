package org.rmcdr.sample;

import jakarta.annotation.Resource;
import jakarta.enterprise.context.ApplicationScoped;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import javax.sql.DataSource;

/** Every statement of the application. Connections commit on their own: a method that returns has committed. */
@ApplicationScoped
public class Database {
    @Resource(name = "jdbc/app")
    private DataSource source;

    @FunctionalInterface
    interface Row<T> {
        T read(ResultSet row) throws SQLException;
    }

    /** True if a statement goes there and back on a server that takes writes. */
    boolean up() {
        try {
            return one("select pg_is_in_recovery()", row -> !row.getBoolean(1)).orElse(false);
        } catch (SQLException down) {
            return false;
        }
    }

    /** Inserts at most one row; false if the key was there already. */
    boolean insert(String sql, Object... values) throws SQLException {
        try (Connection connection = source.getConnection();
                PreparedStatement statement = bind(connection.prepareStatement(sql), values)) {
            return statement.executeUpdate() == 1;
        }
    }

    <T> Optional<T> one(String sql, Row<T> reader, Object... values) throws SQLException {
        return list(sql, reader, values).stream().findFirst();
    }

    <T> List<T> list(String sql, Row<T> reader, Object... values) throws SQLException {
        try (Connection connection = source.getConnection();
                PreparedStatement statement = bind(connection.prepareStatement(sql), values);
                ResultSet rows = statement.executeQuery()) {
            List<T> found = new ArrayList<>();
            while (rows.next()) {
                found.add(reader.read(rows));
            }
            return found;
        }
    }

    Optional<Check> check(UUID id) throws SQLException {
        return one("select * from checks where id = ?", Check::read, id);
    }

    Optional<Attachment> attachment(UUID id) throws SQLException {
        return one("select * from attachments where id = ?", Attachment::read, id);
    }

    private static PreparedStatement bind(PreparedStatement statement, Object... values) throws SQLException {
        for (int i = 0; i < values.length; i++) {
            statement.setObject(i + 1, values[i]);
        }
        return statement;
    }
}
