package org.rmcdr.sample;

import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;

/** Passwords against their hashes, and tokens of the form user.expiry.signature (base64url, seconds). */
@ApplicationScoped
public class Tokens {
    private static final Duration LIFETIME = Duration.ofHours(12);

    @Inject
    private Database database;

    private volatile byte[] key;

    boolean passwordMatches(String user, String password) throws SQLException, GeneralSecurityException {
        String stored = database.one(
                        "select password_hash from users where name = ?", row -> row.getString(1), user)
                .orElse("");
        String[] parts = stored.split("\\$");
        if (parts.length != 4 || !parts[0].equals("pbkdf2-sha512")) {
            return false;
        }
        byte[] expected = Base64.getDecoder().decode(parts[3]);
        PBEKeySpec spec = new PBEKeySpec(
                password.toCharArray(),
                Base64.getDecoder().decode(parts[2]),
                Integer.parseInt(parts[1]),
                expected.length * 8);
        byte[] actual = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA512").generateSecret(spec).getEncoded();
        return MessageDigest.isEqual(expected, actual);
    }

    String issue(String user) throws SQLException, GeneralSecurityException {
        String content = encode(user.getBytes(StandardCharsets.UTF_8)) + "." + Instant.now().plus(LIFETIME).getEpochSecond();
        return content + "." + sign(content);
    }

    boolean valid(String token) throws SQLException, GeneralSecurityException {
        String[] parts = token.split("\\.");
        if (parts.length != 3 || !parts[1].matches("\\d{1,12}")) {
            return false;
        }
        byte[] expected = sign(parts[0] + "." + parts[1]).getBytes(StandardCharsets.UTF_8);
        return MessageDigest.isEqual(expected, parts[2].getBytes(StandardCharsets.UTF_8))
                && Instant.now().getEpochSecond() < Long.parseLong(parts[1]);
    }

    private String sign(String content) throws SQLException, GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key(), "HmacSHA256"));
        return encode(mac.doFinal(content.getBytes(StandardCharsets.UTF_8)));
    }

    private byte[] key() throws SQLException {
        if (key == null) {
            key = database.one("select secret from token_key", row -> row.getString(1))
                    .orElseThrow(() -> new SQLException("token_key is empty"))
                    .getBytes(StandardCharsets.UTF_8);
        }
        return key;
    }

    private static String encode(byte[] bytes) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }
}
