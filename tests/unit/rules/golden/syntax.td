STREAM temp FROM 'home/+room/temp' (t °C, ok BOOL);
RULE a WEHN temp.ok SEND 'x' 1;
RULE b WHEN temp.t != 3 SEND 'x' 1;
RULE c WHEN temp.ok SEND "x" 1;
RULE d WHEN temp.ok SEND 'x 1;
RULE e WHEN temp.ok SEND 'x' 1
RULE f WHEN (temp.ok SEND 'x' 1;
RULE g WHEN temp.t > 5parsec SEND 'x' 1;
ACTUATOR h 'x' (on BOOL) LEESE 5m;
RULE i HOLD h.on = temp.t < 20;
RULE j WHEN temp.ok WHEN temp.ok SEND 'x' 1;
RULE limit WHEN temp.ok SEND 'x' 1;
RULE k WHEN temp.ok SEND 'x' 5 IDEMPOTENT;
RULE l WHEN temp.ok SEND '+x#' 1;
STREAM m FROM 'a/#/b';
STREAM n FROM 'a/+k/+k';
STREAM o FROM 'a' (x FLOTA, y INT);
RULE p WHEN temp.ok @ 5;
RULE q WHEN CLAMP(temp.t, 1) > 2 SEND 'x' 1;
-- a comment; and a last one without its end
RULE r WHEN temp.ok SEND 'x' 1
